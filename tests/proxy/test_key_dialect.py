"""Keys on the way out: given once, the same on every attempt, and never in the place of the service's own."""

import uuid
from dataclasses import replace

import pytest

from sidecar.engine.policy import DestinationPolicy
from sidecar.governance.documents.document import IdempotencyKeySettings
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
