import json
from pathlib import Path

import pytest

from sidecar.review.insertion import NotEditable
from sidecar.review.judge import Bench
from sidecar.review.repair import RepairedStrategy, repaired, written
from tests.review.descriptions import HEAD, NOW, judged, kinds, rules

BENCH = Bench(rules(), NOW)
TEXT = (
    HEAD
    + """\
# The payments of the house.
paths:
  /payments:   # one path
    post:
      summary: Pay
      operationId: createPayment      # called so by clients
      # what comes back
      responses:
        '201': {description: Created}
        # the rest
        '500': {description: Broken}
"""
)


def fixed(
    tmp_path: Path, text: str, wanted: str = "createPayment", strategy: RepairedStrategy = "key", **files: str
) -> str:
    for name, content in {"api.yaml": text, **files}.items():
        (tmp_path / name.replace("__", ".")).write_text(content, newline="")
    repair = repaired(BENCH, str(tmp_path / "api.yaml"), wanted, strategy)
    written(repair)
    return Path(repair.path).read_text()


def test_a_stored_key_is_written_with_all_that_proves_it(tmp_path: Path) -> None:
    assert (
        fixed(tmp_path, TEXT)
        == HEAD
        + """\
# The payments of the house.
paths:
  /payments:   # one path
    post:
      summary: Pay
      operationId: createPayment      # called so by clients
      x-idempotency: {strategy: key, retention: 24h}
      parameters:
        - name: Idempotency-Key
          in: header
          required: true
          description: "One value for one operation, the same whenever it is repeated."
          schema: {type: string, maxLength: 255}
      # what comes back
      responses:
        '201': {description: Created}
        '409': {description: "The first request with this key is still running; ask again after Retry-After."}
        '422': {description: "This key was used for another request."}
        # the rest
        '500': {description: Broken}
"""
    )


def test_what_is_fixed_passes_and_is_fixed_once(tmp_path: Path) -> None:
    once = fixed(tmp_path, TEXT)

    assert kinds(judged(once)) == []
    assert fixed(tmp_path, once) == once


@pytest.mark.parametrize("wanted", ["POST /payments", "createPayment"])
def test_an_operation_is_named_by_id_or_by_method_and_path(tmp_path: Path, wanted: str) -> None:
    assert "x-idempotency" in fixed(tmp_path, TEXT, wanted)


def test_an_optional_header_becomes_required_in_its_place(tmp_path: Path) -> None:
    parameters = (
        "      parameters:\n      - in: header   # the key\n        name: idempotency-key\n        required: false\n"
    )

    text = fixed(tmp_path, TEXT.replace("      # what", parameters + "      # what"))

    assert "      - in: header   # the key\n        name: idempotency-key\n        required: true\n" in text
    assert text.count("dempotency-key") == 1


def test_a_shared_parameter_is_not_touched(tmp_path: Path) -> None:
    shared = "components:\n  parameters:\n    Key: {name: Idempotency-Key, in: header, schema: {type: string}}\n"
    use = "      parameters:\n        - $ref: '#/components/parameters/Key'\n"

    text = fixed(tmp_path, TEXT.replace("      # what", use + "      # what") + shared)

    assert text.endswith(shared)
    assert kinds(judged(text)) == []


def test_a_parameter_of_the_path_is_overridden_and_not_touched(tmp_path: Path) -> None:
    of_path = "    parameters: [{name: Idempotency-Key, in: header, schema: {type: string}}]\n"

    text = fixed(tmp_path, TEXT.replace("    post:\n", of_path + "    post:\n"))

    assert of_path in text
    assert kinds(judged(text)) == []


def test_the_file_that_has_the_operation_is_the_one_that_changes(tmp_path: Path) -> None:
    api = HEAD + "paths:\n  /payments: {$ref: payments.yaml}\n"
    payments = "# of its own\npost:\n  operationId: createPayment\n  responses: {'201': {description: a}}\n"

    text = fixed(tmp_path, api, payments__yaml=payments)

    assert text.startswith("# of its own\npost:\n  operationId: createPayment\n  x-idempotency:")
    assert (tmp_path / "api.yaml").read_text() == api


def test_swagger_has_its_own_form_of_a_parameter(tmp_path: Path) -> None:
    text = fixed(tmp_path, TEXT.replace("openapi: 3.1.0", "swagger: '2.0'"))

    assert "          type: string\n          maxLength: 255\n" in text
    assert kinds(judged(text)) == []


def test_a_condition_is_written_too(tmp_path: Path) -> None:
    text = fixed(
        tmp_path, TEXT.replace("/payments", "/accounts").replace("createPayment", "update"), "update", "conditional"
    )

    assert "name: If-Match" in text
    assert "'412'" in text
    assert kinds(judged(text)) == []


@pytest.mark.parametrize(
    ("text", "wanted", "said"),
    [
        (TEXT, "createRefund", "has no operation called createRefund"),
        (TEXT + "  /b: {post: {operationId: createPayment, responses: {}}}\n", "createPayment", "2 operations called"),
        (
            TEXT.replace("      # what", "      x-idempotency: {strategy: natural-key, field: /a}\n      # what"),
            "createPayment",
            "already",
        ),
        (HEAD + "paths: {/payments: {post: {operationId: createPayment}}}\n", "createPayment", "has no responses"),
    ],
)
def test_what_can_not_be_done_is_said_and_nothing_changes(tmp_path: Path, text: str, wanted: str, said: str) -> None:
    with pytest.raises(NotEditable, match=said):
        fixed(tmp_path, text, wanted)

    assert (tmp_path / "api.yaml").read_text() == text


def test_a_strategy_that_still_lacks_something_is_not_written(tmp_path: Path) -> None:
    text = TEXT.replace("      # what", "      x-idempotency: {strategy: key, retention: 10m}\n      # what")

    with pytest.raises(NotEditable, match="retention must be at least 24h"):
        fixed(tmp_path, text)


def test_json_is_repaired_as_json(tmp_path: Path) -> None:
    post = {"operationId": "createPayment", "responses": {"201": {"description": "a"}}}
    text = json.dumps({"openapi": "3.1.0", "paths": {"/payments": {"post": post}}}, indent=2)

    new = fixed(tmp_path, text)

    assert kinds(judged(new)) == []
    assert [
        line for line in text.splitlines() if line.rstrip(",") not in {one.rstrip(",") for one in new.splitlines()}
    ] == []
