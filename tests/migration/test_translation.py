import pytest

from sidecar.governance.documents.units import Duration
from sidecar.migration.foreign_document import ForeignValue, read_documents
from sidecar.migration.translation import NoteKind, Translation, destination_name


def sources(count: int) -> list[ForeignValue]:
    text = "\n".join(f"k{n}: v{n}" for n in range(count))
    return list(read_documents(text.encode(), "a.yaml")[0].entries().values())


@pytest.mark.parametrize(
    ("foreign", "name"),
    [
        ("backendA", "backend-a"),
        ("pay_ments", "pay-ments"),
        ("outbound|80||a.b", "outbound-80-a-b"),
        ("ingress", "ingress-service"),
        ("ü", "unnamed"),
        ("x" * 90, "x" * 63),
    ],
)
def test_a_foreign_name_becomes_one_that_is_allowed(foreign: str, name: str) -> None:
    assert destination_name(foreign) == name


def test_a_value_past_a_guardrail_is_brought_back_to_it_and_says_so() -> None:
    (source,) = sources(1)
    translation = Translation()
    destination = translation.destination("a", source)

    translation.put(destination, "retry.max_attempts", 9, source)

    assert destination.settings["retry.max_attempts"].value == 4
    assert translation.notes[0].kind is NoteKind.ADJUSTED
    assert "guardrail of retry.max_attempts" in translation.notes[0].text


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_values_the_more_careful_is_kept_whatever_their_order(order: tuple[int, int]) -> None:
    first = sources(2)
    translation = Translation()
    destination = translation.destination("a", first[0])

    for index in order:
        translation.put(destination, "retry.max_attempts", (2, 3)[index], first[index])

    assert destination.settings["retry.max_attempts"].value == 2
    left = [note for note in translation.notes if note.kind is NoteKind.NOT_TRANSLATED]
    assert [note.key for note in left] == ["k1"]
    assert "of two, the more careful is kept" in left[0].text


def test_a_wait_longer_than_the_longest_takes_that_with_it() -> None:
    (source,) = sources(1)
    translation = Translation()
    destination = translation.destination("a", source)
    translation.put(destination, "retry.backoff.base", Duration(5), source)

    translation.settle()

    assert destination.settings["retry.backoff.max"].value == 5


def test_a_low_limit_begins_at_itself() -> None:
    (source,) = sources(1)
    translation = Translation()
    destination = translation.destination("a", source)
    translation.put(destination, "concurrency.max_in_flight", 8, source)

    translation.settle()

    assert destination.settings["concurrency.initial"].value == 8
