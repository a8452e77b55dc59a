"""Compares what a client did with what a case expects of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from sidecar.vectors.case import ANY_REFUSAL, VectorCall, VectorCase

TOLERANCE: Final = 0.25
"""Seconds that a client on sockets may take for what takes none: a busy machine must not fail it."""


@dataclass(slots=True)
class SeenAttempt:
    """One attempt as the dependency saw it. `ended` is when it was answered or cut; infinity: it hung."""

    began: float
    ended: float
    key: str | None
    number: str | None
    """`x-retry-attempt`."""


@dataclass(slots=True)
class SeenCall:
    """One call: its attempts as the dependency saw them, and its end as the client tells it.

    `refusal` None: it gives no reason, which a client need not.
    """

    attempts: list[SeenAttempt] = field(default_factory=list)
    outcome: str = ""
    status: int | None = None
    refusal: str | None = None
    seconds: float = 0.0


def shortcomings(case: VectorCase, seen: list[SeenCall], tolerance: float = TOLERANCE) -> list[str]:
    """The deviations from what the case expects, one line each. None for a client that passes."""
    found = []
    for place, (call, did) in enumerate(zip(case.calls, seen, strict=True), 1):
        where = "" if len(case.calls) == 1 else f"call {place}: "
        found += [where + each for each in _of_call(call, did, tolerance)]
    if case.attempts is not None:
        attempts = sum(len(did.attempts) for did in seen)
        if not case.attempts.min <= attempts <= case.attempts.max:
            found.append(f"{attempts} attempts in all, expected {case.attempts.min:g} to {case.attempts.max:g}")
    return found


def _of_call(call: VectorCall, did: SeenCall, tolerance: float) -> Iterator[str]:
    expect = call.expect
    attempts = len(did.attempts)
    if not expect.attempts.min <= attempts <= expect.attempts.max:
        yield f"{attempts} attempts, expected {expect.attempts.min:g} to {expect.attempts.max:g}"
    if did.outcome != expect.outcome:
        yield f"outcome {did.outcome or 'none'}, expected {expect.outcome}"
    if expect.status is not None and did.status != expect.status:
        yield f"status {did.status}, expected {expect.status}"
    if did.refusal is not None and expect.refusal not in {ANY_REFUSAL, did.refusal}:
        yield f"refusal {did.refusal}, expected {expect.refusal or 'none'}"
    if expect.within is not None and did.seconds > expect.within + tolerance:
        yield f"took {did.seconds:.3f} s, expected at most {expect.within:g}"
    for number, (wait, elder, younger) in enumerate(zip(expect.waits, did.attempts, did.attempts[1:], strict=False), 2):
        waited = younger.began - elder.ended
        if not wait.min - 0.001 <= waited <= wait.max + tolerance:
            yield f"attempt {number} began {waited:.3f} s after the last ended, expected {wait.min:g} to {wait.max:g}"
    keys = {attempt.key for attempt in did.attempts}
    if call.keyed and len(keys) > 1:
        yield f"{len(keys)} different Idempotency-Keys in one call"
    for number, attempt in enumerate(did.attempts, 1):
        if attempt.number not in ({None} if number == 1 else {None, str(number)}):
            yield f"attempt {number} says x-retry-attempt: {attempt.number}"
