import json

import pytest
from hypothesis import given, settings, strategies
from jsonschema import Draft202012Validator

from sidecar.review.fields import lack_of_field, lack_of_schema
from sidecar.review.operations import ApiOperation
from sidecar.review.references import Target
from tests.review.descriptions import HEAD, operations


def operation(
    schema: object, parameters: object = (), required: str = "true", components: object = None
) -> ApiOperation:
    body = {"required": json.loads(required), "content": {"application/json": {"schema": schema}}}
    text = f"{HEAD}paths:\n  /a:\n    post:\n      parameters: {json.dumps(list(parameters))}\n"
    text += f"      requestBody: {json.dumps(body)}\ncomponents: {{schemas: {json.dumps(components or {})}}}\n"
    (one,) = operations(text)
    return one


def lack(schema: object, field: str = "/id", **rest: object) -> str | None:
    found = lack_of_field(operation(schema, **rest), field)  # type: ignore[arg-type]
    return None if found is None else found.rule


OBJECT = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}


def test_a_required_text_is_proof() -> None:
    assert lack(OBJECT) is None


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (True, "does not have"),
        ({}, "does not have"),
        ({"properties": {"id": {}}}, "not required"),
        ({"required": ["id"]}, "has no schema"),
        ({"required": ["id"], "properties": {"id": False}}, "has no schema"),
        ({"required": ["id"], "properties": {"id": {"const": "a"}}}, "fixed set"),
        ({"required": ["id"], "properties": {"id": {"type": "boolean"}}}, "boolean"),
        ({"required": ["id"], "properties": {"id": {"type": "string", "maxLength": 0}}}, "only be empty"),
        ({"required": ["id"], "properties": {"id": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}, "may be null"),
        ({"anyOf": [OBJECT, {"type": "object"}]}, "not required"),
        ({"oneOf": []}, "does not have"),
        ({"if": {}, "then": OBJECT}, "does not have"),
    ],
)
def test_what_is_no_proof(schema: object, said: str) -> None:
    assert said in str(lack(schema))


def test_a_field_inside_of_a_field_needs_both() -> None:
    inner = {"type": "object", "required": ["order"], "properties": {"order": OBJECT}}

    assert lack(inner, "/order/id") is None
    assert "not required" in str(lack({"properties": inner["properties"]}, "/order/id"))


def test_a_name_with_a_slash_is_escaped() -> None:
    assert lack({"required": ["a/b~c"], "properties": {"a/b~c": {"type": "string"}}}, "/a~1b~0c") is None


def test_a_circle_proves_nothing_and_ends() -> None:
    circle = {"A": {"allOf": [{"$ref": "#/components/schemas/A"}]}}

    assert "does not have" in str(lack({"$ref": "#/components/schemas/A"}, components=circle))


@pytest.mark.parametrize(
    ("parameter", "field", "said"),
    [
        ({"name": "id", "in": "header", "required": True}, "header:ID", None),
        ({"name": "id", "in": "query"}, "query:id", "is optional"),
        ({"name": "id", "in": "path"}, "path:id", None),
        ({"name": "id", "in": "query", "required": True, "schema": {"type": "boolean"}}, "query:id", "boolean"),
        ({"name": "other", "in": "query", "required": True}, "query:id", "does not have"),
        ({"name": "id", "in": "header", "required": True}, "id", "must be a JSON pointer"),
    ],
)
def test_a_parameter_is_proof_when_it_is_required(parameter: object, field: str, said: str | None) -> None:
    found = lack(OBJECT, field, parameters=[parameter])

    assert found is None if said is None else said in str(found)


schemas = strategies.recursive(
    strategies.sampled_from(
        [
            {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
            {"type": "object", "properties": {"id": {"type": "string"}}},
            {"type": "object", "required": ["id"]},
            {"type": "object", "required": ["other"], "properties": {"other": {}}},
            {},
        ]
    ),
    lambda inner: strategies.one_of(
        strategies.lists(inner, min_size=1, max_size=3).map(lambda parts: {"allOf": parts}),
        strategies.lists(inner, min_size=1, max_size=3).map(lambda parts: {"anyOf": parts}),
        strategies.tuples(inner, inner).map(lambda pair: {**pair[0], "allOf": [pair[1]]}),
    ),
    max_leaves=6,
)


@settings(max_examples=300)
@given(schemas)
def test_a_proven_field_is_in_every_value_that_the_schema_allows(schema: dict[str, object]) -> None:
    if lack(schema) is None:
        validator = Draft202012Validator(schema)

        assert not validator.is_valid({})
        assert not validator.is_valid({"other": "x"})


def test_a_key_must_be_text() -> None:
    one = operation(OBJECT)

    def said(schema: object) -> str | None:
        return lack_of_schema(Target(schema, one.file, one.where.base), one, text=True)

    assert said({"type": "string", "format": "uuid"}) is None
    assert said({}) is None
    assert said({"type": "integer"}) == "is not text"
    assert lack_of_schema(None, one) is None
