"""The attempts of an exchange, for its record."""

from types import SimpleNamespace

from sidecar.engine.outcome import AttemptKind
from sidecar.proxy.attempt_trail import AttemptTrail

OWNER = SimpleNamespace(label="10.0.0.1:80")


def test_attempts_stand_in_the_order_of_their_numbers_whichever_was_over_first() -> None:
    trail = AttemptTrail(10.0)
    empty = bool(trail)

    trail.add(2, AttemptKind.RETRY, OWNER, "503", began=12.0, ended=12.5, backoff=0.5, late=False)  # type: ignore[arg-type]
    trail.add(1, AttemptKind.FIRST, None, "200", began=10.25, ended=13.25, backoff=0.0, late=True)
    first, second = trail.attempts

    assert (empty, bool(trail)) == (False, True)
    assert (first.number, first.endpoint, first.outcome, first.late) == (1, "", "200", True)
    assert (first.began, first.seconds) == (0.25, 3.0)
    assert (second.kind, second.endpoint, second.backoff) == (AttemptKind.RETRY.label, "10.0.0.1:80", 0.5)
    assert (second.began, second.seconds) == (2.0, 0.5)


def test_a_clock_that_steps_back_makes_no_negative_seconds() -> None:
    trail = AttemptTrail(10.0)

    trail.add(1, AttemptKind.FIRST, None, "reset", began=9.0, ended=8.0, backoff=0.0, late=False)

    assert (trail.attempts[0].began, trail.attempts[0].seconds) == (0.0, 0.0)
