"""No word that users write against is lost or renamed, and none is added without notice."""

import re
from collections.abc import Mapping, Sequence

import pytest

from sidecar.admin.documentation import DOCUMENTATION
from sidecar.admin.refusals import refusal_parts
from sidecar.proxy.replies import TYPE_PREFIX
from tests.public_words import GOLDEN, SECTIONS, problem_words, public_words, recorded, written

LOST = (
    "{} public words are gone from the code: a removal or a new name breaks those who use the old one. Keep the old "
    "word working beside the new one. Only where a release is meant to break it: take its line out of "
    "tests/public_words.txt, and say so in CHANGELOG.md under Removed.\n{}"
)
ADDED = (
    "{} public words are not recorded. They stay for good once they are released: when their names are right, record "
    "them with `python -m tests.public_words > tests/public_words.txt`, and say in CHANGELOG.md what they do.\n{}"
)


def lacking(some: Mapping[str, Sequence[str]], others: Mapping[str, Sequence[str]]) -> list[str]:
    """The words of `some` that are not in `others`, each with its heading."""
    return [
        f"{heading}: {word}" for heading, words in some.items() for word in words if word not in others.get(heading, ())
    ]


def test_no_public_word_is_removed_or_renamed() -> None:
    lost = lacking(recorded(GOLDEN.read_text(encoding="utf-8")), public_words())

    assert not lost, LOST.format(len(lost), "\n".join(lost))


def test_a_new_public_word_is_recorded() -> None:
    added = lacking(public_words(), recorded(GOLDEN.read_text(encoding="utf-8")))

    assert not added, ADDED.format(len(added), "\n".join(added))


def test_the_file_is_as_it_is_written() -> None:
    text = GOLDEN.read_text(encoding="utf-8")

    assert list(recorded(text)) == list(SECTIONS)
    assert written(recorded(text)) == text


def test_a_lost_word_is_named_with_its_heading() -> None:
    before = recorded("# Commands\nsidecar run\nsidecar run --config\n\n# Refusals\ndeadline\n")
    after = recorded("# Commands\nsidecar run\n\n# Refusals\nlate\n")

    assert lacking(before, after) == ["Commands: sidecar run --config", "Refusals: deadline"]
    assert lacking(after, before) == ["Refusals: late"]


@pytest.mark.parametrize(
    ("heading", "word"),
    [
        ("Commands, flags and arguments", "sidecar run --upstream"),
        ("Commands, flags and arguments", "sidecar policy check --format sarif"),
        ("Commands, flags and arguments", "sidecar explain METHOD"),
        ("Exit codes", "2"),
        ("Environment variables", "SIDECAR_UPSTREAMS"),
        ("Environment variables", "POD_NAME"),
        ("Keys of the policy", "defaults.retry.backoff.base"),
        ("Keys of the sidecar file", "destinations.*.endpoints"),
        ("Metrics with their labels", "sidecar_requests_total counter destination outcome"),
        ("Values of labels", "sidecar_breaker_state state=half_open"),
        ("Headers", "x-sidecar-attempts"),
        ("Headers", "idempotency-key"),
        ("Refusals", "budget_exhausted"),
        ("Problem types", "urn:retry-sidecar:problem:key_reused"),
        ("Paths that are answered", "GET /readyz"),
    ],
)
def test_the_code_is_read_for_every_kind_of_word(heading: str, word: str) -> None:
    assert word in public_words()[heading]


def test_the_reasons_of_problems_are_those_of_the_page_of_refusals() -> None:
    page = set(refusal_parts((DOCUMENTATION / "refusals.md").read_text(encoding="utf-8")))

    assert {word.removeprefix(TYPE_PREFIX) for word in problem_words()} == page


def test_no_word_hangs_on_this_machine() -> None:
    text = GOLDEN.read_text(encoding="utf-8")

    assert not re.search(r"/(?:home|tmp|root|usr|var)/", text)
