"""Lines of the log for people: in columns, and in colours on a terminal."""

from collections.abc import Callable
from typing import Any

from sidecar.telemetry.plain_structlog import structlog


def renderer(*, colours: bool) -> Callable[[dict[str, Any]], bytes]:
    """A function that makes a line of an event with its fields."""
    console = structlog.dev.ConsoleRenderer(
        colors=colours, exception_formatter=structlog.dev.plain_traceback, sort_keys=False
    )

    def render(event: dict[str, Any]) -> bytes:
        _columns(event)
        return str(console(None, "", event)).encode("utf-8", "backslashreplace")

    return render


def _columns(event: dict[str, Any]) -> None:
    # One column per attempt reads better than a list of mappings.
    for attempt in event.pop("attempts", ()):
        n = attempt.pop("n")
        event[f"attempt_{n}"] = " ".join(
            f"{value}" if key == "outcome" else f"{key}={value}" for key, value in attempt.items()
        )
