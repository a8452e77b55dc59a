"""A client's connection: what is refused, how it is answered, and that nothing follows."""

import asyncio

import pytest
from msgspec.structs import replace

from sidecar.governance.documents.limits import WireLimits
from sidecar.proxy.downstream import Downstream
from tests.fakes.house import house, read_response
from tests.fakes.origin import Origin, replying, response

REFUSED = [
    (b"GET / HTTP/1.1\r\n\r\n", 400, "host"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "host"),
    (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, "host"),
    (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "host"),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "unsupported_version"),
    (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "unsupported_version"),
    (b"GET /\r\n\r\n", 400, "bad_request_line"),
    (b"GET / RTSP/1.0\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    (b"FROB / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "unknown_method"),
    (b"GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "transfer_encoding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, "transfer_encoding"),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, "content_length"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 400, "content_length"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400, "bad_field"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n", 400, "bad_field"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431, "head_too_large"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 101 + b"\r\n", 431, "too_many_fields"),
    (b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "target_too_long"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, "bad_chunk"),
]


@pytest.mark.parametrize(("data", "status", "reason"), REFUSED)
async def test_bad_bytes_are_answered_once_and_nothing_of_them_is_forwarded(
    data: bytes, status: int, reason: str
) -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        answer = await proxy.send(data, until_close=True)

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close\r\n" in answer
    assert answer.count(b"Content-Type: application/problem+json") == 1
    assert proxy.context.rejections[reason] == 1
    assert not any(request.body for request in origin.requests)


async def test_a_bad_request_behind_a_good_one_is_refused_after_the_answer_to_the_good_one() -> None:
    async with Origin(replying(response(200, b"good"))) as origin, house([origin.port]) as proxy:
        answer = await proxy.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/9.9\r\n\r\n", until_close=True)

    assert answer.index(b"good") < answer.index(b"HTTP/1.1 505 ")
    assert len(origin.requests) == 1


async def test_a_head_that_does_not_come_is_a_408() -> None:
    limits = replace(WireLimits(), head_timeout=0.1)
    async with Origin(replying(response(200))) as origin, house([origin.port], limits=limits) as proxy:
        answer = await proxy.send(b"GET / HTTP/1.1\r\nHo", until_close=True)

    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    limits = replace(WireLimits(), idle_timeout=0.1)
    async with Origin(replying(response(200))) as origin, house([origin.port], limits=limits) as proxy:
        answer = await proxy.send(b"", until_close=True)

    assert answer == b""


async def test_a_body_over_the_limit_is_a_413_declared_or_not() -> None:
    limits = replace(WireLimits(), body_bytes=10)
    async with Origin(replying(response(200))) as origin, house([origin.port], limits=limits) as proxy:
        declared = await proxy.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", until_close=True)
        chunked = await proxy.send(
            b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n", until_close=True
        )

    assert declared.startswith(b"HTTP/1.1 413 ")
    assert chunked.startswith(b"HTTP/1.1 413 ")


async def test_an_old_client_may_keep_its_connection() -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        kept = await proxy.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        closed = await proxy.send(b"GET / HTTP/1.0\r\n\r\n", until_close=True)

    assert b"Connection: keep-alive\r\n" in kept
    assert b"Connection: close\r\n" in closed


async def test_hop_by_hop_fields_and_words_over_policy_are_not_passed_on() -> None:
    async with Origin(
        replying(response(200, b"", "Connection: x-hop", "X-Hop: 1", "Keep-Alive: 5", "X-Sidecar-Attempts: 9"))
    ) as origin:
        async with house([origin.port]) as proxy:
            answer = await proxy.send(
                b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive, X-Private\r\nX-Private: 1\r\n"
                b"TE: gzip\r\nProxy-Authorization: s\r\n"
                b"x-envoy-max-retries: 10\r\nX-Sidecar-Policy: off\r\nX-Keep: 1\r\n\r\n"
            )

    names = {name.lower() for name, _ in origin.requests[0].headers}
    assert names == {"host", "x-keep", "via", "x-request-id"}
    assert origin.requests[0].header("host") == "shop.example"
    assert b"X-Hop" not in answer
    assert b"Attempts: 9" not in answer
    assert b"x-sidecar-attempts: 1" in answer


async def test_a_byte_at_a_time_is_as_good_as_all_at_once() -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        for byte in b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc":
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        writer.close()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert origin.requests[0].body == b"abc"


KNOWN = b"GET /known HTTP/1.1\r\nHost: payments\r\n\r\n"


async def test_a_head_met_before_is_served_as_the_first_time_on_any_connection() -> None:
    async with Origin(replying(response(200, b"hello"))) as origin, house([origin.port]) as proxy:
        answers = [await proxy.send(KNOWN) for _ in range(3)]

    assert proxy.own.known.get(KNOWN) is not None
    assert len(set(answers)) == 1
    assert [request.line for request in origin.requests] == ["GET /known HTTP/1.1"] * 3
    assert len({request.header("x-request-id") for request in origin.requests}) == 3


async def test_the_end_of_a_head_that_came_in_pieces_is_no_head_of_its_own() -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        writer.write(b"GET /secret HTTP/1.1\r\n")
        async with asyncio.timeout(5):
            while all(downstream.idle for downstream in proxy.own._downstreams):
                await asyncio.sleep(0.001)
        writer.write(b"Host: payments\r\n\r\n")
        await read_response(reader)
        writer.close()
        answer = await proxy.send(b"Host: payments\r\n\r\n", until_close=True)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert len(origin.requests) == 1


async def test_a_known_head_is_known_whatever_follows_it_and_its_body_is_its_own() -> None:
    post = b"POST /known HTTP/1.1\r\nHost: payments\r\nContent-Length: 3\r\n\r\n"
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        for body in (b"one", b"two", b"six"):
            await proxy.send(post + body)

    assert [request.body for request in origin.requests] == [b"one", b"two", b"six"]


async def test_heads_with_an_id_of_their_own_are_not_remembered() -> None:
    traced = KNOWN.replace(b"\r\n\r\n", b"\r\nx-request-id: 7\r\n\r\n")
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        await proxy.send(traced)

    assert proxy.own.known.get(traced) is None


async def test_a_port_that_is_routed_otherwise_has_forgotten_the_heads_it_met() -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        await proxy.send(KNOWN)

        proxy.own.turn_to(proxy.router, None, connect=False)

        assert proxy.own.known.get(KNOWN) is None


async def test_bytes_that_come_between_two_pipelined_requests_stay_in_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    second = b"POST /second HTTP/1.1\r\nHost: payments\r\nContent-Length: 12\r\n\r\n"
    late = [b" world"]

    def over(downstream: Downstream, now: float) -> None:
        was_over(downstream, now)
        if late:  # the client's socket may be the next that the loop comes to, before what is ahead is read
            downstream.data_received(late.pop())

    was_over = Downstream._over
    monkeypatch.setattr(Downstream, "_over", over)
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        writer.write(b"GET /first HTTP/1.1\r\nHost: payments\r\n\r\n" + second + b"hello,")
        answers = [await asyncio.wait_for(read_response(reader), 5) for _ in range(2)]
        writer.close()

    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert [request.body for request in origin.requests] == [b"", b"hello, world"]
