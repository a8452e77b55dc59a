import pytest
from hypothesis import given, strategies

from sidecar.governance.documents.finding import FINDINGS_CEILING, InvalidDocument
from sidecar.governance.documents.yaml import DEPTH_CEILING, SIZE_CEILING_BYTES, Tree, parse


def refusal(content: str | bytes) -> list[str]:
    with pytest.raises(InvalidDocument) as caught:
        parse(content.encode() if isinstance(content, str) else content, "f.yaml")
    return str(caught.value).splitlines()


def test_a_document_becomes_plain_values() -> None:
    text = "a: 1\nb: [true, 2.5, text, null, 'yes', \"010\"]\nc: {d: -3, e: .5}\n"

    tree = parse(text.encode(), "f.yaml")

    assert tree.value == {"a": 1, "b": [True, 2.5, "text", None, "yes", "010"], "c": {"d": -3, "e": 0.5}}


def test_every_key_and_item_has_its_line() -> None:
    text = "# comment\na: 1\nb:\n  - x\n  - {c: 1,\n     d: 2}\ne: |\n  one\n  two\nf: 3\n"

    tree = parse(text.encode(), "f.yaml")

    assert tree.lines == {
        (): 2,
        ("a",): 2,
        ("b",): 3,
        ("b", 0): 4,
        ("b", 1): 5,
        ("b", 1, "c"): 5,
        ("b", 1, "d"): 6,
        ("e",): 7,
        ("f",): 10,
    }


def test_what_is_not_written_has_the_line_of_what_is_around_it() -> None:
    tree = parse(b"a:\n  b: {c: 1}\n", "f.yaml")

    assert tree.line(("a", "b", "d", "e")) == 2
    assert tree.line(("z",)) == 1


def test_a_value_is_found_by_its_path() -> None:
    tree = parse(b"a: [{b: 1}, {b: 2}]\n", "f.yaml")

    assert tree.at(("a", 1, "b")) == 2


@pytest.mark.parametrize("date", ["2026-11-24", "2026-11-24T10:00:00Z"])
def test_a_date_stays_text(date: str) -> None:
    assert parse(f"a: {date}\n".encode(), "f.yaml").value == {"a": date}


def test_a_byte_order_mark_is_not_part_of_the_first_key() -> None:
    assert parse(b"\xef\xbb\xbfa: 1\n", "f.yaml").value == {"a": 1}


@pytest.mark.parametrize("word", ["yes", "No", "ON", "off", "Off", "YES"])
def test_a_boolean_of_yaml_1_1_is_refused(word: str) -> None:
    rule = "must be true or false, or quoted: some readers take it for a boolean"

    assert refusal(f"a: 1\nb: {word}\n") == [f"f.yaml:2: b: {rule}, got {word}"]


@pytest.mark.parametrize(
    "number",
    [
        "010",
        "08",
        "+01",
        "0x1F",
        "0o17",
        "0b11",
        "1_000",
        "1_0.5",
        "1:30",
        "190:20:30.15",
        "1e3",
        "1.5E+3",
        ".inf",
        "-.Inf",
        ".NaN",
    ],
)
def test_a_number_that_readers_disagree_about_is_refused(number: str) -> None:
    [finding] = refusal(f"a: {number}\n")

    assert finding.startswith("f.yaml:1: a: must be ")
    assert finding.endswith(f", got {number}")


@pytest.mark.parametrize("number", ["010", "1:30", "1e3", ".inf", "yes"])
def test_the_same_in_quotes_is_text(number: str) -> None:
    assert parse(f"a: '{number}'\n".encode(), "f.yaml").value == {"a": number}


def test_a_number_of_a_thousand_digits_is_refused_unread() -> None:
    [finding] = refusal("a: " + "9" * 1000 + ".0\n")

    assert finding.startswith("f.yaml:1: a: must be a number of at most 24 characters")


def test_a_key_given_twice_is_refused_with_both_lines() -> None:
    assert refusal("a:\n  b: 1\n  c: 2\n  b: 3\n") == ["f.yaml:4: a.b: must not be given twice; line 2 has it already"]


def test_all_that_is_wrong_is_found_at_once() -> None:
    findings = refusal("a: 1\na: 2\nb: yes\nc: 010\n")

    assert [finding.split(" ")[0] for finding in findings] == ["f.yaml:2:", "f.yaml:3:", "f.yaml:4:"]


@pytest.mark.parametrize("key", ["1", "true", "null", "~", "1.5"])
def test_a_key_that_is_not_text_is_refused(key: str) -> None:
    assert refusal(f"a: 1\n{key}: 2\n") == [f"f.yaml:2: must have text for its keys; quote it, got {key}"]


@pytest.mark.parametrize("key", ["[x]", "{x: 1}"])
def test_a_key_that_is_no_scalar_is_refused(key: str) -> None:
    assert refusal(f"a: 1\n? {key}\n: 2\n") == ["f.yaml:2: must have text for its keys, not a mapping, list or alias"]


def test_an_alias_is_refused_before_it_can_multiply() -> None:
    bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"

    findings = refusal(bomb)

    assert findings[:2] == [
        "f.yaml:1: a: must not be an anchor, got &a",
        "f.yaml:2: b: must not be an anchor, got &b",
    ]
    assert findings[2] == "f.yaml:2: b[0]: must be written out: aliases are refused, got *a"


def test_a_merge_key_is_refused() -> None:
    assert refusal("a:\n  <<: {b: 1}\n") == ["f.yaml:2: a: must be written out: merge keys are refused, got <<"]


@pytest.mark.parametrize("tag", ["!!str 5", "!!python/object:os.system x", "!local {}"])
def test_a_tag_is_refused(tag: str) -> None:
    [finding] = refusal(f"a: {tag}\n")

    assert finding.startswith("f.yaml:1: a: must not carry a tag")


def test_several_documents_are_refused() -> None:
    assert refusal("a: 1\n---\nb: 2\n") == ["f.yaml:2: must hold one document, not several"]


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_an_empty_file_is_refused(text: str) -> None:
    assert refusal(text) == ["f.yaml: must not be empty"]


def test_a_syntax_error_has_its_line() -> None:
    [finding] = refusal("a: 1\nb: 2\n c: 3\n")

    assert finding.startswith("f.yaml:3: is not YAML: ")


def test_a_tab_in_the_indentation_is_refused_by_name() -> None:
    assert refusal("a:\n\tb: 1\n") == ["f.yaml:2: must be indented with spaces, not tabs"]


def test_a_tab_in_an_empty_line_is_refused_too() -> None:
    assert refusal("a: 1\n\t\nb: 2\n") == ["f.yaml:2: must be indented with spaces, not tabs"]


def test_a_control_character_is_refused_at_its_line() -> None:
    assert refusal("a: 1\nb: \x07\n") == ['f.yaml:2: must hold printable characters only, got "\\u0007"']


def test_bytes_that_are_not_utf_8_are_refused_at_their_line() -> None:
    assert refusal("a: 1\nb: caf\xe9\n".encode("latin-1")) == ["f.yaml:2: must be UTF-8, got byte 0xe9"]


def test_a_document_of_one_mebibyte_is_read_and_one_byte_more_is_not() -> None:
    largest = b"a: 1\n" + b"#" * (SIZE_CEILING_BYTES - 5)

    assert parse(largest, "f.yaml").value == {"a": 1}
    assert refusal(largest + b"#") == ["f.yaml: must be at most 1MiB, got 1048577 bytes"]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_a_document_of_nothing_but_depth_is_refused_at_the_ceiling(opening: str) -> None:
    [finding] = refusal(opening * 200_000)

    assert finding.endswith(f"must not be nested deeper than {DEPTH_CEILING}")


def test_findings_end_at_their_ceiling() -> None:
    assert len(refusal("a: 1\n" * 10_000)) == FINDINGS_CEILING


def outcome(content: bytes) -> Tree | InvalidDocument:
    try:
        return parse(content, "f.yaml")
    except InvalidDocument as error:
        return error


@given(strategies.binary(max_size=200))
def test_whatever_the_bytes_are_they_are_read_or_refused(content: bytes) -> None:
    result = outcome(content)

    assert result.findings if isinstance(result, InvalidDocument) else () in result.lines


@given(strategies.text(alphabet="ab:-[]{}&*!|>'\"#%@`,?\n 01.~<", max_size=60))
def test_whatever_is_made_of_signs_is_read_or_refused(text: str) -> None:
    result = outcome(text.encode())

    assert result.findings if isinstance(result, InvalidDocument) else () in result.lines
