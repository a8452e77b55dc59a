import pytest

from sidecar.review.catalogue import BY_ID, KINDS, GateFindingKind
from sidecar.review.pages import HEAD
from tests.review.descriptions import judged, kinds

WITH_EXAMPLE = [kind for kind in KINDS if kind.before]


@pytest.mark.parametrize("kind", WITH_EXAMPLE, ids=lambda kind: kind.id)
def test_the_example_of_a_page_breaks_its_rule_and_no_other(kind: GateFindingKind) -> None:
    description = judged(HEAD + kind.before)

    assert description.unjudged == []
    assert kinds(description) == [kind.id]


@pytest.mark.parametrize("kind", WITH_EXAMPLE, ids=lambda kind: kind.id)
def test_the_mended_example_of_a_page_passes(kind: GateFindingKind) -> None:
    description = judged(HEAD + kind.after)

    assert description.unjudged == []
    assert kinds(description) == []


def test_an_id_means_one_thing() -> None:
    assert len(BY_ID) == len(KINDS)


def test_every_kind_says_why_and_what_to_do() -> None:
    assert [kind.id for kind in KINDS if not (kind.summary and kind.why and kind.mend)] == []
