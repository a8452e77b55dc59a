"""The decisions of a policy that is only observed (`mode: observe`), in one sentence for each destination."""

from typing import Final

from sidecar.engine.shadow import Shadow

_DAY: Final = 86400.0
_HOUR: Final = 3600.0
_MINUTE: Final = 60.0


def sentence(name: str, shadow: Shadow, now: float) -> str:
    """Its decisions in the last day, or since it is observed.

    `payments is observed: in the last day the policy would have retried 412 requests, saved 371, refused 9.` Saved is
    an estimate: each retry counts as the share of attempts that was answered well at the time.
    """
    lately = shadow.last_day(now)
    age = now - shadow.began
    given_up = f", given up {lately['timeout']}" if lately["timeout"] else ""
    return (
        f"{name} is observed: in the last {_span(age)} the policy would have retried {lately['retry']} "
        f"request{'' if lately['retry'] == 1 else 's'}, saved {lately['saved']}, refused {lately['refused']}{given_up}."
    )


def _span(seconds: float) -> str:
    if seconds >= _DAY:
        return "day"
    for size, word in ((_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= 2 * size:
            return f"{int(seconds / size)} {word}s"
    return "minute"
