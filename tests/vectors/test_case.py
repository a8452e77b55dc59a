"""The table itself, and the engine's driver against it in virtual time."""

from pathlib import Path

import pytest

from sidecar.engine.verdict import Refusal
from sidecar.vectors.case import ANY_REFUSAL, VectorCase, load_cases, policy_document
from sidecar.vectors.judge import shortcomings
from tests.vectors.hosts import CASES, retries_for, run_virtually

DICE = (0.0, 0.5, 0.999)


@pytest.mark.parametrize("die", DICE)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_engine_passes_to_the_millisecond(case: VectorCase, die: float, tmp_path: Path) -> None:
    seen = run_virtually(case, retries_for(tmp_path), lambda: die)

    assert shortcomings(case, seen, tolerance=0.001) == []


def test_names_are_unique_and_sentences_are_sentences() -> None:
    names = [case.name for case in CASES]

    assert len(set(names)) == len(names)
    assert all(case.sentence.endswith(".") for case in CASES)


def test_a_refusal_is_a_word_of_the_refusals_page() -> None:
    words = {call.expect.refusal for case in load_cases() for call in case.calls} - {None, ANY_REFUSAL}

    assert words <= {refusal.value for refusal in Refusal}
    assert len(words) >= 6


def test_the_policies_are_a_document(tmp_path: Path) -> None:
    assert set(policy_document(CASES)["destinations"]) == set(retries_for(tmp_path))
