"""The table's types: what a dependency answers, and what a client that retries as the sidecar does makes of it."""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

ANY_REFUSAL: Final = "*"
"""Whatever reason the client gives, or none."""


@dataclass(frozen=True, slots=True)
class ScriptedAnswer:
    """The dependency's script for one attempt: after `delay` seconds a `status`, or a `fault`: reset or hang."""

    status: int | None
    fault: str | None
    delay: float
    retry_after: str | None


@dataclass(frozen=True, slots=True)
class Range:
    """A count, or seconds, with both bounds in it."""

    min: float
    max: float


@dataclass(frozen=True, slots=True)
class CallExpectation:
    """The expected result of one call.

    `outcome` is answer, fault, timeout or refused. `waits` bounds the seconds between the end of each attempt and the
    beginning of the next. `within` bounds the seconds that the call may take.
    """

    outcome: str
    status: int | None
    attempts: Range
    refusal: str | None
    waits: tuple[Range, ...]
    within: float | None


@dataclass(frozen=True, slots=True)
class VectorCall:
    """One call of a case. `answers` are for its attempts in their order; the last one is for all that follow."""

    method: str
    keyed: bool
    answers: tuple[ScriptedAnswer, ...]
    expect: CallExpectation


@dataclass(frozen=True, slots=True)
class VectorCase:
    """Calls made one after the other under one policy, by a client that knows nothing of the destination yet.

    `policy` is in the words of a policy document. `attempts` bounds those of all calls together; None: nothing does.
    """

    name: str
    sentence: str
    policy: dict[str, Any]
    calls: tuple[VectorCall, ...]
    attempts: Range | None


def load_cases() -> tuple[VectorCase, ...]:
    """The table as it is shipped."""
    table = json.loads(files("sidecar.vectors").joinpath("cases.json").read_text(encoding="utf-8"))
    return tuple(_case(each) for each in table["cases"])


def policy_document(cases: tuple[VectorCase, ...]) -> dict[str, Any]:
    """A policy under which each case is a destination of its name. Its guardrails let the cases' budgets pass."""
    return {
        "version": 1,
        "owner": "vectors",
        "guardrails": {"budget.ratio": {"max": 1.0}, "budget.min_retries": {"max": 100}},
        "destinations": {case.name: case.policy for case in cases},
    }


def _case(written: dict[str, Any]) -> VectorCase:
    attempts = written.get("expect", {}).get("attempts")
    return VectorCase(
        name=written["name"],
        sentence=written["sentence"],
        policy=written["policy"],
        calls=tuple(_call(each) for each in written["calls"]),
        attempts=None if attempts is None else Range(**attempts),
    )


def _call(written: dict[str, Any]) -> VectorCall:
    expect = written["expect"]
    return VectorCall(
        method=written["method"],
        keyed=written.get("keyed", False),
        answers=tuple(
            ScriptedAnswer(each.get("status"), each.get("fault"), each.get("delay", 0.0), each.get("retry_after"))
            for each in written["answers"]
        ),
        expect=CallExpectation(
            outcome=expect["outcome"],
            status=expect.get("status"),
            attempts=Range(**expect["attempts"]),
            refusal=expect["refusal"],
            waits=tuple(Range(**each) for each in expect.get("waits", ())),
            within=expect.get("within"),
        ),
    )
