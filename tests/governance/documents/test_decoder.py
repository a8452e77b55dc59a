from typing import Annotated, Literal

import pytest
from msgspec import UNSET, Meta, Struct, UnsetType, inspect

from sidecar.governance.documents.decoder import LIST_CEILING, Decoder
from sidecar.governance.documents.finding import FINDINGS_CEILING, Finding, InvalidDocument
from sidecar.governance.documents.units import Duration
from sidecar.governance.documents.yaml import parse


class Leaf(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    wait: Duration | UnsetType = UNSET
    words: list[str] | UnsetType = UNSET
    form: Literal["a", "b"] | UnsetType = UNSET
    share: Annotated[float, Meta(ge=0, le=1)] = 0.5
    count: Annotated[int, Meta(ge=1)] = 1


class Root(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    leaf: Leaf = Leaf()


def decode(text: str) -> tuple[Root | None, list[str]]:
    findings: list[Finding] = []
    root = Decoder(parse(text.encode(), "f.yaml"), findings).document(Root, {"name": ""})
    return root, [str(finding) for finding in findings]


def test_a_document_without_fault_is_its_struct() -> None:
    root, findings = decode("name: x\nleaf: {wait: 2s, words: [p, q], form: b, share: 1}\n")

    assert findings == []
    assert root == Root(name="x", leaf=Leaf(wait=Duration(2), words=["p", "q"], form="b", share=1.0))


def test_what_is_not_given_is_unset() -> None:
    root, _ = decode("name: x\n")

    assert root is not None
    assert root.leaf.wait is UNSET


def test_every_fault_is_found_and_the_rest_is_kept() -> None:
    root, findings = decode("name: 5\nleaf:\n  wait: 3\n  form: c\n  shear: 1\n  count: 4\n")

    assert findings == [
        "f.yaml:1: name: must be text, got 5",
        "f.yaml:3: leaf.wait: must be a duration with its unit, like 250ms, 2s, 1m or 24h, got 3",
        'f.yaml:4: leaf.form: must be a or b, got "c"',
        "f.yaml:5: leaf.shear: is not known; did you mean share?",
    ]
    assert root is not None
    assert root.leaf.count == 4


def test_a_required_field_is_missed_by_name() -> None:
    _, findings = decode("leaf: {}\n")

    assert findings == ["f.yaml:1: name: is required"]


def test_a_document_that_is_no_mapping_is_none() -> None:
    root, findings = decode("[a]\n")

    assert root is None
    assert findings == ['f.yaml:1: must be a mapping, got ["a"]']


@pytest.mark.parametrize("value", ["true", "1.0", "null", "'1'"])
def test_a_whole_number_is_nothing_else(value: str) -> None:
    _, [finding] = decode(f"name: x\nleaf: {{count: {value}}}\n")

    assert finding.startswith("f.yaml:2: leaf.count: must be a whole number, got ")


@pytest.mark.parametrize(("value", "rule"), [("-0.1", "must be between 0 and 1"), ("true", "must be a number")])
def test_a_number_keeps_to_its_range(value: str, rule: str) -> None:
    _, findings = decode(f"name: x\nleaf: {{share: {value}}}\n")

    assert findings == [f"f.yaml:2: leaf.share: {rule}, got {value}"]


def test_an_item_named_twice_is_found_where_it_is() -> None:
    _, findings = decode("name: x\nleaf:\n  words:\n    - p\n    - q\n    - p\n")

    assert findings == ['f.yaml:6: leaf.words[2]: must not be named twice, got "p"']


def test_a_list_has_a_length_that_can_be_searched() -> None:
    words = ", ".join(f"w{n}" for n in range(LIST_CEILING + 1))

    _, [finding] = decode(f"name: x\nleaf: {{words: [{words}]}}\n")

    assert finding.startswith(f"f.yaml:2: leaf.words: must have at most {LIST_CEILING} entries")


def test_findings_end_at_their_ceiling() -> None:
    unknown = "".join(f"k{n}: 1\n" for n in range(10_000))

    with pytest.raises(InvalidDocument) as caught:
        decode(unknown)

    assert len(caught.value.findings) == FINDINGS_CEILING


def test_a_type_that_no_document_has_is_the_fault_of_the_program() -> None:
    decoder = Decoder(parse(b"a: 1\n", "f.yaml"), [])

    with pytest.raises(TypeError, match="no way to decode"):
        decoder.value(b"", inspect.type_info(bytes), ())
