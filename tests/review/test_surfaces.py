import pytest

from sidecar.review.operations import ApiOperation
from sidecar.review.surfaces import RepetitionEffect, Surfaces, stem, words
from tests.review.descriptions import HEAD, operations, rules

SURFACES = Surfaces(rules().document)


def operation(path: str, method: str = "post", **fields: str) -> ApiOperation:
    lines = "".join(f"      {name.replace('_', '-')}: {value}\n" for name, value in fields.items())
    (one,) = operations(f"{HEAD}paths:\n  {path}:\n    {method}:\n      responses: {{}}\n{lines}")
    return one


def rule_of(path: str, method: str = "post", **fields: str) -> str | None:
    rule = SURFACES.place(operation(path, method, **fields)).rule
    return None if rule is None else rule.id


def test_words_of_a_name() -> None:
    assert words("createRefunds") == ("create", "refund")
    assert words("post-paymentMethods_HTTPServer2") == ("post", "payment", "method", "http", "server", "2")
    assert (stem("categories"), stem("address"), stem("SMS")) == ("category", "address", "sms")


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("/payments", "payments"),
        ("/v1/payments/{id}/lines", "payments"),
        ("/v1/PAYMENTS", "payments"),
        ("/v1/paymentMethods", None),
        ("/mypayments", None),
        ("/v1/payouts/batch", "transfers"),
        ("/accounts/{id}", "accounts"),
        ("/accounts/{id}/avatar", None),
        ("/users/{user}/emails", None),
        ("/emails", "messages"),
        ("/things", None),
        ("/{payments}", None),
    ],
)
def test_a_path_is_matched_by_whole_segments(path: str, rule: str | None) -> None:
    assert rule_of(path, operationId="op") == rule


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("payInvoice", "payments"),
        ("createPayout", "transfers"),
        ("sendTestEmail", "messages"),
        ("updateEmail", None),
        ("createPaymentMethod", None),
        ("repos/transfer-repository", None),
        ("displayPayslip", None),
    ],
)
def test_words_are_matched_whole_and_taken_out_by_words(name: str, rule: str | None) -> None:
    assert rule_of("/x", operationId=name) == rule


def test_the_first_rule_that_fits_counts() -> None:
    assert rule_of("/bookings/{id}/payments", operationId="op") == "payments"


def test_a_label_goes_up_and_never_down() -> None:
    up = SURFACES.place(operation("/orders", x_surface="payments"))
    down = SURFACES.place(operation("/payments", x_surface="orders"))

    assert up.rule is not None
    assert (up.rule.id, up.label) == ("payments", None)
    assert down.rule is not None
    assert down.rule.id == "payments"
    assert "comes first" in str(down.label)


@pytest.mark.parametrize(
    ("path", "method", "fields", "effect"),
    [
        ("/a", "post", {}, RepetitionEffect.SINGLE),
        ("/a", "patch", {}, RepetitionEffect.SINGLE),
        ("/a", "put", {}, RepetitionEffect.REPEATABLE),
        ("/a", "delete", {}, RepetitionEffect.REPEATABLE),
        ("/a", "delete", {"x_side_effect": "true"}, RepetitionEffect.SINGLE),
        ("/a", "get", {}, RepetitionEffect.NONE),
        ("/a", "get", {"x_side_effect": "true"}, RepetitionEffect.HIDDEN),
        ("/a", "head", {"operationId": "deleteIt"}, RepetitionEffect.HIDDEN),
        ("/a/cancel", "get", {}, RepetitionEffect.HIDDEN),
        ("/a/cancelNow", "get", {}, RepetitionEffect.HIDDEN),
        ("/a/cancel/{id}", "get", {}, RepetitionEffect.NONE),
        ("/a/cancel", "get", {"operationId": "getCancel"}, RepetitionEffect.NONE),
        ("/a/cancellations", "get", {}, RepetitionEffect.NONE),
        ("/transfers", "get", {"operationId": "TransfersGet"}, RepetitionEffect.NONE),
        ("/a/search", "post", {}, RepetitionEffect.NONE),
        ("/a/search", "post", {"x_side_effect": "true"}, RepetitionEffect.SINGLE),
        ("/a/research", "post", {}, RepetitionEffect.SINGLE),
        ("/a", "post", {"x_side_effect": "false"}, RepetitionEffect.DENIED),
        ("/a/search", "post", {"x_side_effect": "false"}, RepetitionEffect.NONE),
    ],
)
def test_the_effect_of_a_repetition(path: str, method: str, fields: dict[str, str], effect: RepetitionEffect) -> None:
    assert SURFACES.effect(operation(path, method, **fields)) is effect
