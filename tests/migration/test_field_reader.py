from sidecar.migration.field_reader import FieldReader
from sidecar.migration.foreign_document import read_documents
from sidecar.migration.translation import NoteKind, Translation


def reader(text: str) -> tuple[FieldReader, Translation]:
    translation = Translation()
    return FieldReader(read_documents(text.encode(), "a.yaml")[0], translation), translation


def test_values_are_read_by_their_types_with_where_they_stand() -> None:
    fields, translation = reader("wait: 2s\ncount: '3'\nshare: 0.5\non: true\nname: x\n")

    assert fields.duration("wait")[0] == 2  # type: ignore[index]
    assert fields.whole("count")[0] == 3  # type: ignore[index]
    assert fields.number("share")[0] == 0.5  # type: ignore[index]
    assert fields.boolean("on")[0] is True  # type: ignore[index]
    assert fields.text("name")[1].line == 5  # type: ignore[index]
    assert translation.findings == []


def test_a_value_of_another_type_is_a_finding_and_absent() -> None:
    fields, translation = reader("wait: 2\ncount: -1\nshare: x\non: 1\nname: []\n")

    read = [
        fields.duration("wait"),
        fields.whole("count"),
        fields.number("share"),
        fields.boolean("on"),
        fields.text("name"),
    ]

    assert read == [None] * 5
    assert [finding.line for finding in translation.findings] == [1, 2, 3, 4, 5]


def test_what_was_not_read_is_left_with_its_reason() -> None:
    fields, translation = reader("a: 1\nb: 2\nc: 3\nd: null\n")
    fields.take("a")
    fields.ignore("c")

    fields.leave_rest({"b": "is nothing to us"})

    assert [(note.kind, note.field, note.text) for note in translation.notes] == [
        (NoteKind.NOT_TRANSLATED, "b", "is nothing to us")
    ]


def test_a_variable_without_default_is_absent_and_noted() -> None:
    fields, translation = reader("count: ${TRIES}\n")

    assert fields.whole("count") is None
    assert translation.findings == []
    assert [note.text for note in translation.notes] == ["depends on TRIES, which is not known here"]


def test_what_is_no_mapping_is_a_finding() -> None:
    _, translation = reader("- a\n")

    assert [str(finding) for finding in translation.findings] == ["a.yaml:1: must be a mapping, got a list"]
