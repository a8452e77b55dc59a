import pytest

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.review.references import Library, Target
from tests.review.descriptions import library, opened


def resolved(text: str, pointer: str, **others: str) -> Target:
    whole, root = opened(text, **others)
    return whole.resolve({"$ref": pointer}, root)


def test_a_pointer_is_followed_with_its_escapes() -> None:
    target = resolved("paths:\n  /a~b/{id}:\n    get: {x: 1}\n", "#/paths/~1a~0b~1%7Bid%7D/get")

    assert target.value == {"x": 1}


def test_a_chain_of_references_ends_at_what_it_means() -> None:
    text = "a: {$ref: '#/b'}\nb: {$ref: 'other.yaml#/c'}\n"

    target = resolved(text, "#/a", other__yaml="c: {$ref: '#/d'}\nd: {x: 1}\n")

    assert target.value == {"x": 1}
    assert target.file.name == "other.yaml"
    assert target.file.line(target.value) == 2


def test_a_reference_inside_of_another_file_is_meant_there() -> None:
    whole, root = opened(
        "a: {$ref: 'sub/one.yaml#/a'}\n", **{"sub/one__yaml": "a: {b: {$ref: 'two.yaml'}}\n", "sub/two__yaml": "x: 1\n"}
    )

    one = whole.resolve({"$ref": "#/a"}, root)

    assert whole.resolve(one.value["b"], one).value == {"x": 1}


def test_files_that_refer_to_each_other_are_read_once_each() -> None:
    reads: list[str] = []
    files = {"/a.yaml": b"x: {$ref: 'b.yaml#/y'}\nz: {}\n", "/b.yaml": b"y: {v: {$ref: 'a.yaml#/z'}}\n"}

    def read(path: str) -> bytes:
        reads.append(path)
        return files[path]

    whole = Library(read, str)

    assert whole.check(whole.open("/a.yaml")) == []
    assert reads == ["/a.yaml", "/b.yaml"]


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("#/nothing", "leads nowhere"),
        ("#/list/7", "leads nowhere"),
        ("#/list/x", "leads nowhere"),
        ("#/text/deeper", "leads nowhere"),
        ("#nowhere", "leads nowhere"),
        ("gone.yaml", "leads to a file that can not be read: No such file or directory"),
        ("gone.yaml#/x", "leads to a file that can not be read"),
        ("broken.yaml#/x", "leads to a file that is not valid: broken.yaml:2"),
        ("http://127.0.0.1/x.yaml", "leads to an address"),
        ("file://elsewhere/x.yaml", "leads to an address"),
        ("#/self", "leads back to itself"),
    ],
)
def test_a_reference_to_nothing_is_an_error_that_names_its_line(reference: str, said: str) -> None:
    text = f"self: {{$ref: '#/self'}}\nlist: [1]\ntext: abc\na:\n  $ref: '{reference}'\n"
    whole, root = opened(text, broken__yaml="a: [\n")

    with pytest.raises(InvalidDocument) as caught:
        whole.resolve(root.value["a"], root)

    assert f"api.yaml:5: $ref: {said}" in str(caught.value)


def test_every_reference_is_checked_wherever_it_is() -> None:
    text = "paths:\n  /a: {$ref: '#/x'}\ncomponents:\n  schemas:\n    A: {properties: {default: {$ref: '#/y'}}}\n"
    whole, root = opened(text)

    assert [finding.value for finding in whole.check(root)] == ["#/y", "#/x"]


def test_what_looks_like_a_reference_in_a_value_is_none() -> None:
    text = "a: {example: {$ref: '#/x'}, default: {$ref: '#/x'}, enum: [{$ref: '#/x'}], x-mine: {$ref: '#/x'}}\n"
    whole, root = opened(text)

    assert whole.check(root) == []


def test_a_schema_is_found_by_its_own_name() -> None:
    text = """
openapi: 3.1.0
components:
  schemas:
    A: {$id: "https://api.example/a", type: object, $defs: {b: {$anchor: inner, type: string}}}
"""
    whole, root = opened(text)

    target = whole.resolve({"$ref": "https://api.example/a#inner"}, root)

    assert target.value == {"$anchor": "inner", "type": "string"}
    assert target.file.line(target.value) == 5


def test_a_description_is_found_by_the_name_it_gives_itself() -> None:
    text = "openapi: 3.2.0\n$self: https://api.example/openapi\nx-a: 1\nb: {c: 2}\n"
    whole, root = opened(text)

    assert whole.resolve({"$ref": "https://api.example/openapi#/b"}, root).value == {"c": 2}


def test_a_circle_of_schemas_is_checked_in_finite_time() -> None:
    text = "a: {properties: {b: {$ref: '#/b'}}}\nb: {properties: {a: {$ref: '#/a'}}}\n"
    whole, root = opened(text)

    assert whole.check(root) == []


def test_a_name_with_a_space_is_a_file_too() -> None:
    whole = library({"my api.yaml": "a: {$ref: 'other%20file.yaml#/x'}\n", "other file.yaml": "x: {y: 1}\n"})
    root = whole.open("/my api.yaml")

    assert whole.resolve(root.value["a"], root).value == {"y": 1}
