"""Keys on the way out: given once, the same on every attempt, and never in the place of the service's own."""

import json
import re
import uuid

import pytest
from msgspec.structs import replace

from sidecar.engine.policy import DestinationPolicy
from sidecar.governance.documents.egress_keys import IdempotencyKeySettings
from sidecar.governance.documents.json_pointer import JsonPointer
from sidecar.governance.documents.key_presets import PRESETS, KeyCharset, PresetName
from sidecar.idempotency.pointer import value_at
from sidecar.proxy.key_dialect import KeyDialect, dialect_of
from sidecar.wire.head import RequestHead
from sidecar.wire.reader import RequestReader
from sidecar.wire.writer import request_head
from tests.fakes.house import GENEROUS, house
from tests.fakes.origin import Origin, replying, response

HONOURING = replace(GENEROUS, honours_keys=True, key_retention=3600.0)


def head(method: str = "POST", *fields: str) -> RequestHead:
    lines = [f"{method} /pay HTTP/1.1", "Host: payments", *fields, "", ""]
    read = RequestReader().feed("\r\n".join(lines).encode())
    assert read is not None
    read.onward = request_head(read)
    return read


def post(*fields: str, method: str = "POST") -> bytes:
    lines = [f"{method} /pay HTTP/1.1", "Host: payments", "Content-Length: 2", *fields, "", ""]
    return "\r\n".join(lines).encode() + b"{}"


def keys_sent(origin: Origin, name: str = "idempotency-key") -> list[str | None]:
    return [request.header(name) for request in origin.requests]


def test_a_write_without_a_key_gets_a_uuid_and_the_head_is_left_as_it_was() -> None:
    plain = head()
    before = plain.fields, plain.onward, plain.keyed

    keyed = KeyDialect("Idempotency-Key").keyed(plain)

    key = keyed.onward.rpartition(b"Idempotency-Key: ")[2].strip().decode()
    assert uuid.UUID(key).version == 4
    assert keyed.keyed
    assert keyed.fields.endswith(b"\r\n")
    assert (plain.fields, plain.onward, plain.keyed) == before


def test_each_request_gets_a_key_of_its_own() -> None:
    dialect, plain = KeyDialect("Idempotency-Key"), head()

    assert dialect.keyed(plain).onward != dialect.keyed(plain).onward


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_methods_that_may_be_repeated_anyhow_get_none(method: str) -> None:
    plain = head(method)

    assert KeyDialect("Idempotency-Key").keyed(plain) is plain


def test_a_key_of_the_service_is_never_replaced() -> None:
    own = head("POST", "idempotency-key: mine")

    assert KeyDialect("Idempotency-Key").keyed(own) is own
    assert own.keyed


def test_of_two_keys_nobody_knows_which_counts_and_no_third_is_added() -> None:
    two = head("POST", "Idempotency-Key: a", "Idempotency-Key: b")

    assert KeyDialect("Idempotency-Key").keyed(two) is two
    assert not two.keyed


def test_a_key_counts_in_the_header_that_the_destination_goes_by() -> None:
    dialect = KeyDialect("X-Key")

    other, own = dialect.keyed(head("POST", "Idempotency-Key: a")), dialect.keyed(head("POST", "X-Key: a"))

    assert other.onward.count(b"X-Key: ") == 1
    assert own.onward.count(b"X-Key: ") == 1
    assert (other.keyed, own.keyed) == (True, True)


def test_a_key_is_quoted_and_short_where_the_destination_wants_it_so() -> None:
    keyed = KeyDialect("Idempotency-Key", quoted=True, max_length=32).keyed(head())

    value = keyed.onward.rpartition(b"Idempotency-Key: ")[2].strip().decode()
    assert value[0] == value[-1] == '"'
    assert len(value.strip('"')) == 32


def test_only_a_destination_that_honours_keys_has_a_dialect() -> None:
    assert dialect_of(IdempotencyKeySettings(), DestinationPolicy()) is None
    assert dialect_of(IdempotencyKeySettings(), HONOURING) is not None


async def test_all_attempts_of_a_write_carry_one_key() -> None:
    answers = replying(response(503), response(503), response(201))
    async with Origin(answers) as origin, house([origin.port], HONOURING) as proxy:
        proxy.route.key_dialect = KeyDialect("Idempotency-Key")
        answer = await proxy.send(post())

    assert answer.startswith(b"HTTP/1.1 201 ")
    assert len(origin.requests) == 3
    assert len(set(keys_sent(origin))) == 1
    assert keys_sent(origin)[0] is not None


async def test_two_requests_on_one_connection_carry_two_keys() -> None:
    async with Origin(replying(response(201))) as origin, house([origin.port], HONOURING) as proxy:
        proxy.route.key_dialect = KeyDialect("Idempotency-Key")
        for _ in range(3):
            await proxy.send(post())

    assert len(set(keys_sent(origin))) == 3


async def test_a_destination_that_does_not_honour_keys_is_sent_none() -> None:
    async with Origin(replying(response(503), response(201))) as origin, house([origin.port]) as proxy:
        answer = await proxy.send(post())

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert keys_sent(origin) == [None]


UUID4 = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
JSON = "Content-Type: application/json"


def key_of(head: RequestHead, name: bytes = b"Idempotency-Key") -> bytes:
    return head.onward.rpartition(name + b": ")[2].strip()


def test_a_key_is_made_of_a_header_that_the_callers_own_retry_has_too() -> None:
    dialect = KeyDialect("webhook-id", from_header="X-Event-Id")

    first, second = (dialect.keyed(head("POST", "x-event-id: evt_1")) for _ in range(2))

    assert key_of(first, b"webhook-id") == key_of(second, b"webhook-id") == b"evt_1"
    assert first.keyed


@pytest.mark.parametrize("fields", [(), ("X-Event-Id: a", "X-Event-Id: b"), ("X-Event-Id:",)])
def test_without_one_value_to_make_it_of_a_key_is_drawn(fields: tuple[str, ...]) -> None:
    keyed = KeyDialect("Idempotency-Key", from_header="X-Event-Id").keyed(head("POST", *fields))

    assert UUID4.fullmatch(key_of(keyed))


@pytest.mark.parametrize(
    ("value", "charset", "longest", "fits"),
    [
        ("evt_1", "visible", 255, True),
        ("evt:1", "url", 255, False),
        ("evt_1", "alphanumeric", 255, False),
        ("evt1", "alphanumeric", 255, True),
        ("evt_1", "uuid", 36, False),
        ("0e8d7c6b-5a49-4382-9170-6f5e4d3c2b1a", "uuid", 36, True),
        ("e" * 33, "visible", 32, False),
        ("an event", "visible", 255, False),
    ],
)
def test_a_value_that_the_destination_does_not_take_becomes_a_uuid_always_the_same(
    value: str, charset: KeyCharset, longest: int, fits: bool
) -> None:
    dialect = KeyDialect("Idempotency-Key", from_header="X-Event-Id", charset=charset, max_length=longest)

    keys = {key_of(dialect.keyed(head("POST", f"X-Event-Id: {value}"))) for _ in range(2)}

    assert len(keys) == 1
    key = keys.pop()
    assert (key == value.encode()) == fits
    assert len(key) <= longest
    if not fits:
        assert uuid.UUID(key.decode()).version == 5


def test_a_key_of_letters_and_digits_has_no_hyphens() -> None:
    assert key_of(KeyDialect("Idempotency-Key", charset="alphanumeric").keyed(head())).isalnum()


def test_a_quoted_key_escapes_what_would_end_it() -> None:
    keyed = KeyDialect("Idempotency-Key", quoted=True, from_header="X-Event-Id").keyed(head("POST", 'X-Event-Id: a"b'))

    assert key_of(keyed) == b'"a\\"b"'


def test_a_body_is_needed_only_for_what_stands_there() -> None:
    body = ("Content-Length: 2", JSON)
    in_body, of_body = KeyDialect("K", location=("key",)), KeyDialect("K", from_body=("id",))

    assert in_body.needs_body(head("POST", *body))
    assert in_body.needs_body(head("POST", *body, "K: own"))
    assert of_body.needs_body(head("POST", *body))
    assert not of_body.needs_body(head("POST", *body, "K: own"))
    assert not in_body.needs_body(head("POST", JSON))
    assert not in_body.needs_body(head("PUT", *body))
    assert not in_body.needs_body(head("POST", "Content-Length: 2", "Content-Type: text/plain"))
    assert not KeyDialect("K").needs_body(head("POST", *body))


def test_a_key_is_put_into_the_body_and_its_length_said_anew() -> None:
    plain = head("POST", "content-length: 13", JSON)

    keyed, body = KeyDialect("K", location=("key",)).keyed_by_body(plain, b'{"amount": 1}')

    document = json.loads(body)
    assert UUID4.fullmatch(document.pop("key").encode())
    assert document == {"amount": 1}
    assert (keyed.keyed, keyed.length) == (True, len(body))
    assert b"content-length: %d\r\n" % len(body) in keyed.onward
    assert b"Content-Length" not in keyed.onward
    assert (plain.length, plain.keyed) == (13, False)


@pytest.mark.parametrize(("body", "keyed"), [(b'{"key": "own"}', True), (b'{"key": 7}', True), (b'{"key": ""}', False)])
def test_a_key_in_the_body_is_the_services_own(body: bytes, keyed: bool) -> None:
    found, sent = KeyDialect("K", location=("key",)).keyed_by_body(head("POST", "Content-Length: 9", JSON), body)

    assert (found.keyed, sent) == (keyed, body)


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ((), b"no json"),
        ((), b"[1]"),
        ((), b'{"a": 1, "a": 2}'),
        (("Content-Digest: sha-256=:x:",), b"{}"),
        (("X-Amz-Content-SHA256: 0",), b"{}"),
    ],
)
def test_where_there_is_no_place_for_a_key_the_request_is_as_it_was_and_goes_once(
    fields: tuple[str, ...], body: bytes
) -> None:
    plain = head("POST", "Content-Length: 9", JSON, "Idempotency-Key: not the place", *fields)

    found, sent = KeyDialect("K", location=("key",)).keyed_by_body(plain, body)

    assert (found.keyed, sent, found.onward) == (False, body, plain.onward)


def test_a_key_in_a_header_is_made_of_a_value_of_the_body() -> None:
    dialect = KeyDialect("webhook-id", from_body=("event", "id"))

    keyed, body = dialect.keyed_by_body(head("POST", "Content-Length: 9", JSON), b'{"event": {"id": 17.0}}')

    assert key_of(keyed, b"webhook-id") == b"17.0"
    assert body == b'{"event": {"id": 17.0}}'


def test_a_key_in_the_body_is_made_of_a_header() -> None:
    dialect = KeyDialect("K", location=("key",), from_header="X-Event-Id")

    _, body = dialect.keyed_by_body(head("POST", "Content-Length: 2", JSON, "X-Event-Id: evt_1"), b"{}")

    assert json.loads(body) == {"key": "evt_1"}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_key_of_each_preset_stands_where_its_api_looks_for_it(preset: PresetName) -> None:
    dialect = dialect_of(IdempotencyKeySettings(preset=preset), HONOURING)
    assert dialect is not None
    terms = PRESETS[preset]
    plain = head("POST", "Content-Length: 2", JSON)

    if dialect.needs_body(plain):
        _, body = dialect.keyed_by_body(plain, b"{}")
        key = value_at(json.loads(body), JsonPointer(terms.location).tokens)
        assert isinstance(key, str)
    else:
        key = key_of(dialect.keyed(plain), terms.header.encode()).decode()

    assert 32 <= len(key) <= terms.max_length
