"""Requests whose key stands in their JSON body, or is made of a value there, on real sockets."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from sidecar.governance.documents.limits import WireLimits
from sidecar.proxy.key_dialect import KeyDialect
from tests.fakes.house import GENEROUS, House, house
from tests.fakes.origin import Answer, Origin, hanging_up, replying, response

HONOURING = replace(GENEROUS, honours_keys=True, key_retention=3600.0)
IN_BODY = KeyDialect("Idempotency-Key", location=("key",))
OF_BODY = KeyDialect("webhook-id", from_body=("event", "id"))
WITHIN = 5.0


def post(body: bytes = b'{"amount": 1.50}', *fields: str) -> bytes:
    lines = ["POST /pay HTTP/1.1", "Host: a", "Content-Type: application/json", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*pieces: bytes, trailers: bytes = b"") -> bytes:
    head = b"POST /pay HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailers + b"\r\n"


@asynccontextmanager
async def keyed(dialect: KeyDialect, answer: Answer, **more: object) -> AsyncIterator[tuple[House, Origin]]:
    async with Origin(answer) as origin, house([origin.port], HONOURING, **more) as proxy:  # type: ignore[arg-type]
        proxy.route.key_dialect = dialect
        yield proxy, origin
        deadline = time.monotonic() + WITHIN
        while proxy.context.busy:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)


async def test_every_attempt_has_the_same_key_in_its_body() -> None:
    answers = replying(response(503), response(503), response(201))
    async with keyed(IN_BODY, answers) as (proxy, origin):
        answer = await proxy.send(post())

    bodies = [request.body for request in origin.requests]
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert len(bodies) == 3
    assert len(set(bodies)) == 1
    assert len(json.loads(bodies[0])["key"]) == 36
    assert b'"amount": 1.50}' in bodies[0]


async def test_a_connection_that_breaks_is_made_up_for_with_the_same_key() -> None:
    async with keyed(IN_BODY, hanging_up) as (proxy, origin):
        await proxy.send(post())

    assert len(origin.requests) > 1
    assert len({request.body for request in origin.requests}) == 1


async def test_a_body_that_comes_in_pieces_gets_its_key() -> None:
    async with keyed(IN_BODY, replying(response(201))) as (proxy, origin):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        request = post()
        for at in range(0, len(request), 7):
            writer.write(request[at : at + 7])
            await asyncio.sleep(0.002)
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN)
        writer.close()

    assert json.loads(origin.requests[0].body)["amount"] == 1.5
    assert "key" in json.loads(origin.requests[0].body)


async def test_a_chunked_body_gets_its_key_and_keeps_its_trailers() -> None:
    async with keyed(IN_BODY, replying(response(201))) as (proxy, origin):
        for trailers in (b"", b"X-Sum: 1\r\n"):
            answer = await proxy.send(chunked(b'{"am', b'ount": 1}', trailers=trailers))
            assert answer.startswith(b"HTTP/1.1 201 ")

    assert [sorted(json.loads(request.body)) for request in origin.requests] == [["amount", "key"]] * 2


async def test_a_webhook_that_its_sender_repeats_has_the_events_id_both_times() -> None:
    async with keyed(OF_BODY, replying(response(200))) as (proxy, origin):
        for _ in range(2):
            await proxy.send(post(b'{"event": {"id": "evt_1"}}'))

    assert [request.header("webhook-id") for request in origin.requests] == ["evt_1", "evt_1"]


async def test_a_key_of_the_service_is_left_alone_and_counts() -> None:
    answers = replying(response(503), response(201))
    async with keyed(IN_BODY, answers) as (proxy, origin):
        answer = await proxy.send(post(b'{"key":"mine"}'))

    assert answer.startswith(b"HTTP/1.1 201 ")
    assert [request.body for request in origin.requests] == [b'{"key":"mine"}'] * 2


@pytest.mark.parametrize("body", [b"no json", b"[1, 2]", b'{"a": 1, "a": 2}'])
async def test_a_body_without_a_place_for_a_key_is_sent_once_as_it_is(body: bytes) -> None:
    async with keyed(IN_BODY, replying(response(503), response(201))) as (proxy, origin):
        answer = await proxy.send(post(body))

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"x-sidecar-refusal: not_idempotent" in answer
    assert [request.body for request in origin.requests] == [body]


async def test_a_body_too_long_to_be_kept_goes_through_as_it_comes() -> None:
    body = b'{"text": "' + b"x" * 200_000 + b'"}'
    async with keyed(IN_BODY, replying(response(201))) as (proxy, origin):
        answer = await proxy.send(post(body))
        again = await proxy.send(chunked(body[:100_000], body[100_000:]))

    assert answer.startswith(b"HTTP/1.1 201 ")
    assert again.startswith(b"HTTP/1.1 201 ")
    assert [request.body for request in origin.requests] == [body, body]


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked() -> None:
    async with keyed(IN_BODY, replying(response(201))) as (proxy, origin):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        head, _, body = post(b"{}", "Expect: 100-continue").partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        interim = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN)
        writer.write(body)
        await asyncio.wait_for(reader.readuntil(b" 201 "), WITHIN)
        writer.close()

    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert "key" in json.loads(origin.requests[0].body)


async def test_a_body_that_stops_coming_is_a_408_and_nothing_is_sent() -> None:
    limits = replace(WireLimits(), idle_timeout=0.1)
    async with keyed(IN_BODY, replying(response(201)), limits=limits) as (proxy, origin):
        answer = await proxy.send(post()[:-3], until_close=True)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert origin.requests == []


async def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing_behind() -> None:
    async with keyed(IN_BODY, replying(response(201))) as (proxy, origin):
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        writer.write(post()[:-3])
        await asyncio.sleep(0.05)
        assert proxy.context.busy == 1
        writer.close()

    assert origin.requests == []


async def test_requests_on_one_connection_each_get_a_key_of_their_own() -> None:
    async with keyed(IN_BODY, replying(response(201))) as (proxy, origin):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        writer.write(post() * 3)
        for _ in range(3):
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN)
        writer.close()

    assert len({json.loads(request.body)["key"] for request in origin.requests}) == 3
