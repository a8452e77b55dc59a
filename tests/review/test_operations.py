import pytest

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.review.operations import Dialect, OperationKind, dialect_of
from tests.review.descriptions import HEAD, operations


@pytest.mark.parametrize(
    ("value", "dialect"),
    [
        ({"openapi": "3.0.3"}, Dialect.OPENAPI_3_0),
        ({"openapi": "3.1.1"}, Dialect.OPENAPI_3_1),
        ({"openapi": "3.2.0"}, Dialect.OPENAPI_3_2),
        ({"openapi": 3.1}, Dialect.OPENAPI_3_1),
        ({"swagger": "2.0"}, Dialect.SWAGGER_2),
        ({"swagger": 2.0}, Dialect.SWAGGER_2),
        ({"asyncapi": "3.0.0"}, Dialect.ASYNCAPI_3),
        ({"asyncapi": "2.6.0"}, None),
        ({"openapi": "4.0.0"}, None),
        ({"name": "package"}, None),
        ([], None),
    ],
)
def test_a_dialect_is_known_by_its_version(value: object, dialect: Dialect | None) -> None:
    assert dialect_of(value) is dialect


def test_operations_come_in_the_order_in_which_they_are_written() -> None:
    text = HEAD + "paths:\n  /b: {post: {}, get: {}}\n  /a: {delete: {}}\nwebhooks:\n  paid: {post: {}}\n"

    assert [one.key for one in operations(text)] == ["POST /b", "GET /b", "DELETE /a", "webhook paid POST"]


def test_the_path_of_the_server_stands_before_the_operations() -> None:
    text = HEAD + "servers: [{url: 'https://{host}/v{n}/', variables: {host: {default: a.b}, n: {default: '7'}}}]\n"
    text += "paths:\n  /a: {post: {}, servers: [{url: /other}]}\n  /b: {post: {}}\n"

    assert [one.key for one in operations(text)] == ["POST /other/a", "POST /v7/b"]


def test_the_base_path_of_swagger_stands_before_the_operations() -> None:
    assert [one.key for one in operations("swagger: '2.0'\nbasePath: /v2/\npaths:\n  /a: {post: {}}\n")] == [
        "POST /v2/a"
    ]


def test_a_parameter_of_the_operation_replaces_that_of_its_path() -> None:
    text = (
        HEAD
        + """
paths:
  /a:
    parameters:
      - {name: Key, in: header, required: true}
      - {name: id, in: query, required: true}
    post:
      parameters: [{name: KEY, in: header}, {name: ID, in: query}]
"""
    )
    (post,) = operations(text)

    assert [(one.name, one.location, one.required) for one in post.parameters] == [
        ("KEY", "header", False),
        ("id", "query", True),
        ("ID", "query", False),
    ]


def test_a_path_of_another_file_has_its_lines_there() -> None:
    (post,) = operations(
        HEAD + "paths:\n  /a: {$ref: 'a.yaml'}\n", a__yaml="# one\npost:\n  operationId: makeA\n  x-idempotency: {}\n"
    )

    assert (post.id, post.file.name, post.line) == ("makeA", "a.yaml", 2)
    assert post.extension_line("x-idempotency") == 4


def test_callbacks_are_operations_of_their_own() -> None:
    text = (
        HEAD
        + """
paths:
  /a:
    post:
      callbacks:
        done: {$ref: "#/components/callbacks/Done"}
components:
  callbacks:
    Done: {"{$request.query.url}": {post: {operationId: onDone}}}
"""
    )
    _, callback = operations(text)

    assert (callback.kind, callback.key, callback.id) == (
        OperationKind.CALLBACK,
        "POST /a callback done POST",
        "onDone",
    )


def test_a_form_of_swagger_is_a_body() -> None:
    parameter = "{name: f, in: formData, required: true, type: string}"
    text = f"swagger: '2.0'\npaths:\n  /a: {{post: {{parameters: [{parameter}]}}}}\n"
    (post,) = operations(text)

    assert post.body is not None
    assert post.body.required
    assert post.body.schemas[0][1].value["required"] == ["f"]


def test_only_what_is_sent_is_an_event() -> None:
    text = """
asyncapi: 3.0.0
channels:
  c: {address: orders, messages: {m: {payload: {type: object}}}}
operations:
  tell: {action: send, channel: {$ref: "#/channels/c"}}
  hear: {action: receive, channel: {$ref: "#/channels/c"}}
"""
    (tell,) = operations(text)

    assert (tell.key, tell.id, tell.line) == ("event tell orders", "tell", 6)
    assert tell.body is not None
    assert tell.body.schemas[0][1].value == {"type": "object"}


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ("paths: []", "paths: must be a mapping, got []"),
        ("paths:\n  a: {post: {}}", "must begin with /, got"),
        ("paths:\n  /a: text", "paths./a: must be a mapping"),
        ("paths:\n  /a: {post: []}", "POST /a: must be a mapping"),
        ("paths:\n  /a: {post: {callbacks: 1}}", "callbacks: must be a mapping"),
        ("webhooks: {a: 1}", "webhooks.a: must be a mapping"),
    ],
)
def test_a_part_that_is_not_what_it_should_be_is_refused(paths: str, said: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        operations(f"{HEAD}{paths}\n")

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("post", "read", "said"),
    [
        ("parameters: {}", "parameters", "parameters: must be a list"),
        ("parameters: [1]", "parameters", "parameters[0]: must be a mapping"),
        ("parameters: [{name: a}]", "parameters", "must have a name and a place"),
        ("requestBody: []", "body", "requestBody: must be a mapping"),
        ("requestBody: {content: {a/b: 1}}", "body", "requestBody: must be a mapping"),
        ("responses: []", "responses", "responses: must be a mapping"),
    ],
)
def test_a_part_of_an_operation_that_is_not_what_it_should_be_is_refused(post: str, read: str, said: str) -> None:
    (operation,) = operations(f"{HEAD}paths:\n  /a:\n    post:\n      {post}\n")

    with pytest.raises(InvalidDocument) as caught:
        getattr(operation, read)

    assert said in str(caught.value)
