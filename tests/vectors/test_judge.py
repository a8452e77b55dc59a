"""A judge that finds nothing proves nothing: each kind of mistake is found."""

import math
from collections.abc import Callable

import pytest

from sidecar.vectors.case import VectorCase, load_cases
from sidecar.vectors.judge import SeenAttempt, SeenCall, shortcomings

CASES: dict[str, VectorCase] = {case.name: case for case in load_cases()}


def attempt(began: float, ended: float, key: str | None = None, number: str | None = None) -> SeenAttempt:
    return SeenAttempt(began, ended, key, number)


def right(name: str = "a_503_then_good") -> list[SeenCall]:
    attempts = [attempt(0.0, 0.0, "k"), attempt(0.01, 0.02, "k", "2")]
    return [SeenCall(attempts, "answer", 200, None, 0.02)]


def test_what_is_right_has_no_shortcomings() -> None:
    assert shortcomings(CASES["a_503_then_good"], right()) == []


def spoilt(change: Callable[[SeenCall], None]) -> list[SeenCall]:
    seen = right()
    change(seen[0])
    return seen


def _status(call: SeenCall) -> None:
    call.status = 503


def _outcome(call: SeenCall) -> None:
    call.outcome = "fault"


def _once(call: SeenCall) -> None:
    call.attempts.pop()


def _late(call: SeenCall) -> None:
    call.attempts[1].began = 0.4


def _early(call: SeenCall) -> None:
    call.attempts[1].began = -0.1


def _refusal(call: SeenCall) -> None:
    call.refusal = "deadline"


def _number(call: SeenCall) -> None:
    call.attempts[1].number = "7"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_status, "status 503, expected 200"),
        (_outcome, "outcome fault, expected answer"),
        (_once, "1 attempts, expected 2 to 2"),
        (_late, "attempt 2 began 0.400 s after"),
        (_early, "attempt 2 began -0.100 s after"),
        (_refusal, "refusal deadline, expected none"),
        (_number, "says x-retry-attempt: 7"),
    ],
)
def test_each_mistake_is_told(change: Callable[[SeenCall], None], words: str) -> None:
    (line,) = shortcomings(CASES["a_503_then_good"], spoilt(change))

    assert words in line


def test_two_keys_in_one_call_are_told() -> None:
    seen = right()
    seen[0].attempts[1].key = "other"

    assert shortcomings(CASES["a_keyed_write"], seen) == ["2 different Idempotency-Keys in one call"]


def test_a_storm_is_told() -> None:
    case = CASES["a_budget_in_an_outage"]
    seen = [
        SeenCall([attempt(0, 0), attempt(0, 0), attempt(0, math.inf)], "answer", 503, None, 0.0) for _ in case.calls
    ]

    assert shortcomings(case, seen) == ["120 attempts in all, expected 41 to 46"]


def test_a_call_that_waits_where_it_is_not_to_is_told() -> None:
    seen = [SeenCall([attempt(0, 0)], "answer", 503, "deadline", 5.0)]

    assert shortcomings(CASES["retry_after_past_the_deadline"], seen) == ["took 5.000 s, expected at most 0.3"]
