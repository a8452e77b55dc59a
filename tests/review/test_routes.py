from sidecar.governance.documents.route_match import PathTemplate
from sidecar.governance.documents.yaml import parse
from sidecar.review.routes import route_path, route_table
from tests.review.descriptions import HEAD, judged

TEXT = (
    HEAD
    + """
servers: [{url: https://api.example/v1}]
paths:
  /payments/{paymentId}: {patch: {responses: {}}}
  /payments:
    get: {responses: {}}
    post:
      operationId: createPayment
      x-idempotency:
        {strategy: key, retention: 24h, class: reexecute_ok, scope: [x-tenant], ignore_fields: [/trace], wait: 2s,
         after_retention: reject}
      parameters: [{name: Idempotency-Key, in: header, required: true, schema: {type: string}}]
      responses: {"201": {}, "409": {}, "422": {}}
  /payments/search: {post: {responses: {}}}
  /payments/{id}:cancel: {post: {operationId: create payment, responses: {}}}
  /payments/latest: {put: {responses: {}}}
  /events:
    post:
      operationId: takeEvent
      x-idempotency: {strategy: event-id, field: /event/id, class: at_most_once}
      responses: {}
  /hooks:
    post:
      operationId: takeHook
      x-idempotency: {strategy: event-id, field: "header:webhook-id"}
      responses: {}
webhooks: {paid: {post: {responses: {}}}}
"""
)


def table() -> dict[str, object]:
    value = parse(route_table([judged(TEXT)]).encode(), "routes.yaml").value
    assert isinstance(value, dict)
    return value


def test_the_table_has_every_operation_with_an_effect_and_nothing_else() -> None:
    routes = table()["routes"]
    assert isinstance(routes, list)

    assert [(route["match"]["methods"], route["match"]["path"]) for route in routes] == [
        (["POST"], "/v1/events"),
        (["POST"], "/v1/hooks"),
        (["POST"], "/v1/payments"),
        (["PUT"], "/v1/payments/latest"),
        (["POST"], "/v1/payments/{id}:cancel"),
        (["PATCH"], "/v1/payments/{paymentId}"),
    ]


def test_a_stored_key_is_a_contract() -> None:
    routes = table()["routes"]
    assert isinstance(routes, list)

    assert routes[2] == {
        "name": "create-payment",
        "match": {"methods": ["POST"], "path": "/v1/payments"},
        "class": "reexecute_ok",
        "key": {"header": "Idempotency-Key"},
        "required": True,
        "retention": "24h",
        "scope": ["x-tenant"],
        "ignore_fields": ["/trace"],
        "after_retention": "reject",
        "wait": "2s",
    }


def test_an_event_is_a_contract_where_a_class_is_asked_for() -> None:
    routes = table()["routes"]
    assert isinstance(routes, list)

    assert routes[0]["key"] == {"pointer": "/event/id"}
    assert routes[0]["class"] == "at_most_once"
    assert routes[1].keys() == {"name", "match"}


def test_names_are_labels_and_no_two_are_the_same() -> None:
    routes = table()["routes"]
    assert isinstance(routes, list)

    names = [route["name"] for route in routes]
    assert names == [
        "take-event",
        "take-hook",
        "create-payment",
        "put-v1-payments-latest",
        "create-payment-2",
        "patch-v1-payments",
    ]


def test_a_path_is_one_that_routes_can_have() -> None:
    assert route_path("/a b/{x y}/{a}{b}.{ext}/ü") == "/a%20b/{p1}/{a}.{ext}/%C3%BC"
    assert PathTemplate.parse(route_path("/v1/{payment-id}:cancel")).matches(b"/v1/7:cancel")
