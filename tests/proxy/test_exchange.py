"""One exchange over all its attempts, on real sockets."""

import asyncio
import json
import socket
import time
from email.utils import formatdate

import pytest
from msgspec.structs import replace

from sidecar.engine.orphans import RECLAIM_INTERVAL_SECONDS
from sidecar.engine.outcome import Result
from sidecar.engine.policy import (
    BreakerPolicy,
    ConcurrencyPolicy,
    LimitKind,
    RetryAfterPolicy,
    RetryPolicy,
)
from sidecar.engine.verdict import Refusal
from sidecar.governance.documents.limits import WireLimits
from sidecar.proxy.codecs import HTTP1, Codecs
from sidecar.proxy.downstream import Downstream
from sidecar.proxy.pool import ResolvedAddress
from sidecar.proxy.upstream import Upstream
from tests.fakes.house import GENEROUS, House, house, read_response
from tests.fakes.multiplexed import Multiplexed
from tests.fakes.origin import Origin, Request, hanging, hanging_up, replying, response
from tests.fakes.playbook import Stage

MANY = Codecs(Multiplexed, {})
GET = b"GET /x HTTP/1.1\r\nHost: payments\r\n\r\n"
ONE = ConcurrencyPolicy(limit=LimitKind.FIXED, initial=1, min_in_flight=1, max_in_flight=1)
POST = b"POST /x HTTP/1.1\r\nHost: payments\r\nContent-Length: 3\r\n\r\nabc"


async def test_a_good_answer_is_delivered_with_the_number_of_attempts() -> None:
    async with Origin(replying(response(200, b"hello"))) as origin, house([origin.port]) as proxy:
        answer = await proxy.send(GET)

    assert answer == b"HTTP/1.1 200 Whatever\r\nContent-Length: 5\r\nx-sidecar-attempts: 1\r\n\r\nhello"
    assert proxy.tally.requests[Result.SUCCESS] == 1


async def test_a_503_is_tried_again_and_the_retry_says_which_it_is() -> None:
    async with Origin(replying(response(503), response(200))) as origin, house([origin.port]) as proxy:
        answer = await proxy.send(GET)

    assert b"x-sidecar-attempts: 2\r\n" in answer
    assert [request.header("x-retry-attempt") for request in origin.requests] == [None, "2"]
    assert origin.requests[0].header("x-request-id") == origin.requests[1].header("x-request-id")
    assert proxy.tally.retries == {"status_503": 1}
    assert proxy.tally.retry_successes == 1


async def test_a_post_without_key_is_sent_once_when_its_answer_is_a_503() -> None:
    async with Origin(replying(response(503, b"sorry", "X-Own: 1"))) as origin, house([origin.port]) as proxy:
        answer = await proxy.send(POST)

    assert len(origin.requests) == 1
    assert b"X-Own: 1\r\n" in answer
    assert b"x-sidecar-refusal: not_idempotent\r\n" in answer
    assert answer.endswith(b"sorry")


async def test_a_post_without_key_is_sent_once_when_the_connection_breaks_after_it_left() -> None:
    async with Origin(hanging_up) as origin, house([origin.port]) as proxy:
        answer = await proxy.send(POST)

    assert len(origin.requests) == 1
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"application/problem+json" in answer


async def test_a_post_is_tried_again_after_a_connect_failure_on_another_endpoint() -> None:
    async with Origin(replying(response(200))) as origin:
        async with Origin(hanging) as gone:
            dead = gone.port
        async with house([dead, origin.port]) as proxy:
            answers = [await proxy.send(POST) for _ in range(4)]

    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert len(origin.requests) == 4


async def test_a_keyed_post_is_repeated_only_where_the_destination_honours_keys() -> None:
    keyed = POST.replace(b"Content-Length", b"Idempotency-Key: k1\r\nContent-Length")
    honouring = replace(GENEROUS, honours_keys=True, key_retention=3600.0)
    async with Origin(replying(response(503), response(200))) as origin:
        async with house([origin.port]) as proxy:
            refused = await proxy.send(keyed)
        origin.answer = replying(response(503), response(200))
        async with house([origin.port], honouring) as proxy:
            repeated = await proxy.send(keyed)

    assert b"x-sidecar-refusal: not_idempotent" in refused
    assert repeated.startswith(b"HTTP/1.1 200 ")
    assert [request.header("Idempotency-Key".lower()) for request in origin.requests] == ["k1"] * 3
    assert [request.body for request in origin.requests] == [b"abc"] * 3


async def test_a_retry_after_that_is_too_long_delivers_the_original_at_once() -> None:
    async with Origin(replying(response(429, b"later", "Retry-After: 600"))) as origin, house([origin.port]) as proxy:
        answer = await proxy.send(GET)

    assert len(origin.requests) == 1
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"Retry-After: 600\r\n" in answer
    assert b"x-sidecar-refusal: retry_after_too_long\r\n" in answer


async def test_a_stale_pooled_connection_costs_a_read_nothing_and_a_write_its_answer() -> None:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.header("x-stale") is None:
            writer.write(response(200))
        else:
            writer.close()

    stale_get = GET.replace(b"\r\n\r\n", b"\r\nX-Stale: 1\r\n\r\n")
    policy = replace(GENEROUS, retry=RetryPolicy(max_attempts=1))
    async with Origin(answer) as origin, house([origin.port], policy) as proxy:
        await proxy.send(GET)
        read = await proxy.send(stale_get)
        await proxy.send(GET)
        write = await proxy.send(POST.replace(b"Content-", b"X-Stale: 1\r\nContent-"))

    assert [request.header("x-stale") for request in origin.requests] == [None, "1", "1", None, "1"]
    assert b"x-sidecar-attempts: 2\r\n" in read
    assert write.startswith(b"HTTP/1.1 502 ")
    assert sum(proxy.tally.attempts[2]) == 1


async def test_a_caller_who_leaves_takes_his_attempt_with_him() -> None:
    async with Origin(hanging) as origin, house([origin.port]) as proxy:
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        writer.write(GET)
        while not origin.requests:
            await asyncio.sleep(0.005)
        writer.close()
        while proxy.context.busy:
            await asyncio.sleep(0.005)

    assert proxy.destination.limiter.in_flight == 0
    assert proxy.tally.requests[Result.ABANDONED] == 1
    assert proxy.tally.attempts[0][Result.ABANDONED] == 1


async def test_an_answer_that_breaks_off_is_never_a_clean_end() -> None:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()

    async with Origin(answer) as origin, house([origin.port]) as proxy:
        try:
            got = await proxy.send(GET, until_close=True)
        except ConnectionResetError:
            got = b""

    assert not got.endswith(b"0\r\n\r\n")
    assert proxy.tally.requests[Result.FAULT] == 1


async def test_nonsense_from_the_endpoint_is_a_502_and_the_connection_is_not_used_again() -> None:
    async with Origin(replying(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")) as origin:
        async with house([origin.port]) as proxy:
            first = await proxy.send(GET)
            await proxy.send(GET)

    assert first.startswith(b"HTTP/1.1 502 ")
    assert b'"reason":"protocol"' in first
    assert origin.connections == 2


async def test_bytes_after_a_complete_answer_reach_nobody() -> None:
    async with Origin(
        replying(response(200, b"mine") + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nEVIL!")
    ) as origin:
        async with house([origin.port]) as proxy:
            answers = [await proxy.send(GET) for _ in range(3)]

    assert all(answer.endswith(b"mine") for answer in answers)
    assert origin.connections == 3


async def test_an_open_breaker_refuses_with_a_retry_after_and_sends_nothing() -> None:
    policy = replace(
        GENEROUS,
        retry=RetryPolicy(max_attempts=1),
        breaker=BreakerPolicy(consecutive_failures=3, open=5.0, max_open=5.0),
    )
    async with Origin(replying(response(503))) as origin, house([origin.port], policy) as proxy:
        for _ in range(3):
            await proxy.send(GET)
        answer = await proxy.send(GET)

    assert len(origin.requests) == 3
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: " in answer
    assert b"x-sidecar-refusal: breaker_open\r\n" in answer
    assert b"x-sidecar-attempts" not in answer
    assert proxy.tally.requests[Result.REFUSED] == 1


async def test_originals_that_find_the_breaker_open_are_held_and_served_once_a_probe_is_answered() -> None:
    policy = replace(
        GENEROUS,
        retry=RetryPolicy(max_attempts=1),
        breaker=BreakerPolicy(consecutive_failures=3, open=0.1, max_open=0.1, ramp=0.1),
    )
    answers_of = replying(response(503), response(503), response(503), response(200))
    async with Origin(answers_of) as origin, house([origin.port], policy) as proxy:
        for _ in range(3):
            await proxy.send(GET)
        answers = await asyncio.gather(*(proxy.send(GET) for _ in range(5)))

    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert origin.requests[3].at - origin.requests[2].at >= 0.08
    assert proxy.tally.refusals[Refusal.BREAKER_OPEN] == 0


async def test_hundreds_that_are_held_are_refused_together_when_the_probe_fails() -> None:
    policy = replace(
        GENEROUS,
        retry=RetryPolicy(max_attempts=1),
        breaker=BreakerPolicy(consecutive_failures=3, open=0.3, max_open=0.6, hold=0.4),
    )
    async with Origin(replying(response(503))) as origin, house([origin.port], policy) as proxy:
        for _ in range(3):
            await proxy.send(GET)
        answers = await asyncio.gather(*(proxy.send(GET) for _ in range(500)))

    assert len(origin.requests) == 4
    assert sum(b"x-sidecar-refusal: breaker_open\r\n" in answer for answer in answers) == 499
    assert not proxy.destination.limiter.waiting


async def test_a_draining_sidecar_makes_no_retry_and_says_goodbye() -> None:
    async with Origin(replying(response(503))) as origin, house([origin.port]) as proxy:
        proxy.context.draining = proxy.destination.draining = True
        answer = await proxy.send(GET, until_close=True)

    assert len(origin.requests) == 1
    assert b"x-sidecar-refusal: draining\r\n" in answer
    assert b"Connection: close\r\n" in answer


async def test_an_upload_streams_through_and_is_repeated_while_it_fits_the_buffer() -> None:
    chunked = b"PUT /x HTTP/1.1\r\nHost: payments\r\nTransfer-Encoding: chunked\r\n\r\n"
    small = chunked + b"5\r\nhello\r\n0\r\n\r\n"
    body = b"x" * 200_000
    large = b"PUT /x HTTP/1.1\r\nHost: payments\r\nContent-Length: 200000\r\n\r\n" + body
    async with Origin(replying(response(503), response(200), response(503))) as origin, house([origin.port]) as proxy:
        repeated = await proxy.send(small)
        refused = await proxy.send(large)

    assert repeated.startswith(b"HTTP/1.1 200 ")
    assert [request.body for request in origin.requests] == [b"hello", b"hello", body]
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"x-sidecar-refusal: not_replayable\r\n" in refused


async def test_a_body_that_came_with_its_head_and_is_over_the_buffer_is_never_repeated_without_it() -> None:
    async with Origin(replying(response(503), response(200))) as origin, house([origin.port]) as proxy:
        answers = [
            await proxy.send(b"PUT / HTTP/1.1\r\nHost: payments\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
            for size in (65537, 65536)
        ]

    assert answers[0].startswith(b"HTTP/1.1 503 ")
    assert answers[1].startswith(b"HTTP/1.1 200 ")
    assert [len(request.body) for request in origin.requests] == [65537, 65536]


async def test_an_interim_answer_is_passed_on_and_ends_nothing() -> None:
    async with Origin(replying(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response(200))) as origin:
        async with house([origin.port]) as proxy:
            got = await proxy.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), until_close=True)

    assert got.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 ")


async def test_a_close_delimited_answer_is_chunked_to_new_clients_and_closed_to_old_ones() -> None:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        writer.close()

    async with Origin(answer) as origin, house([origin.port]) as proxy:
        new = await proxy.send(GET)
        old = await proxy.send(b"GET /x HTTP/1.0\r\n\r\n", until_close=True)

    assert b"Transfer-Encoding: chunked\r\n\r\n9\r\nall of it\r\n0\r\n\r\n" in new
    assert old.endswith(b"Connection: close\r\n\r\nall of it")


async def test_a_head_answer_has_no_body_and_the_connection_goes_on() -> None:
    async with Origin(replying(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")) as origin:
        async with house([origin.port]) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
            for _ in range(2):
                writer.write(GET.replace(b"GET", b"HEAD"))
                head = await reader.readuntil(b"\r\n\r\n")
            writer.close()

    assert b"Content-Length: 500\r\n" in head
    assert origin.connections == 1


async def test_two_hundred_megabytes_never_rest_here() -> None:
    size = 20_000_000

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // 100_000):
            writer.write(b"y" * 100_000)
            await writer.drain()

    async with Origin(answer) as origin, house([origin.port]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port, limit=65536)
        writer.write(GET)
        await asyncio.sleep(0.2)  # a reader who does not read
        downstream = next(iter(proxy.own._downstreams))
        held = downstream.transport.get_write_buffer_size()
        await reader.readuntil(b"\r\n\r\n")
        received = 0
        while received < size:
            received += len(await reader.read(1 << 20))
        writer.close()

    assert held < 1_000_000
    assert received == size


async def test_pipelined_requests_are_answered_in_order() -> None:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(response(200, request.line.split(" ")[1].encode()))

    async with Origin(answer) as origin, house([origin.port]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        writer.write(b"".join(GET.replace(b"/x", b"/%d" % number) for number in range(20)))
        answers = [await asyncio.wait_for(read_response(reader), 5) for _ in range(20)]
        writer.close()

    assert [got.rpartition(b"\r\n\r\n")[2] for got in answers] == [b"/%d" % number for number in range(20)]


async def test_retry_after_may_be_ignored_only_where_policy_says_so() -> None:
    deaf = replace(GENEROUS, retry=RetryPolicy(retry_after=RetryAfterPolicy(honour=False)))
    async with Origin(replying(response(503, b"", "Retry-After: 600"), response(200))) as origin:
        async with house([origin.port], deaf) as proxy:
            answer = await proxy.send(GET)

    assert answer.startswith(b"HTTP/1.1 200 ")


async def deaf_client(proxy: House) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Downstream]:
    """A connection with small buffers on the way to the client, who reads nothing until asked to."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", proxy.own.address.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
    while not proxy.own._downstreams:
        await asyncio.sleep(0.001)
    downstream = next(iter(proxy.own._downstreams))
    downstream.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return reader, writer, downstream


async def test_a_connection_that_was_held_back_for_a_slow_reader_serves_the_next_caller() -> None:
    size = 200_000

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(response(200, b"z" * size if request.line.startswith("GET /big") else b"small"))

    async with Origin(answer) as origin, house([origin.port]) as proxy:
        reader, writer, downstream = await deaf_client(proxy)
        writer.write(GET.replace(b"/x", b"/big"))
        await asyncio.sleep(0.1)
        unread = downstream.transport.get_write_buffer_size()
        others = [await proxy.send(GET) for _ in range(3)]
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(size)
        writer.write(GET)
        again = await read_response(reader)
        writer.close()

    assert unread > 65536
    assert all(got.endswith(b"small") for got in (*others, again))


async def test_the_rest_of_an_answer_is_left_to_a_client_who_takes_a_little_now_and_then() -> None:
    size = 200_000
    hasty = replace(WireLimits(), idle_timeout=0.1)
    async with Origin(replying(response(200, b"z" * size))) as origin, house([origin.port], limits=hasty) as proxy:
        reader, writer, downstream = await deaf_client(proxy)
        writer.write(GET)
        head = await reader.readuntil(b"\r\n\r\n")
        over = 0
        for _ in range(40):
            await reader.readexactly(size // 40)
            await asyncio.sleep(0.02)
            over += downstream._exchange is None
        writer.close()

    assert b"200 " in head
    assert over > 10  # all of it had come from the endpoint long before the client had it


async def test_the_rest_of_an_answer_is_not_kept_for_a_client_who_takes_nothing() -> None:
    size = 100_000
    hasty = replace(WireLimits(), idle_timeout=0.1)
    async with Origin(replying(response(200, b"z" * size))) as origin, house([origin.port], limits=hasty) as proxy:
        _, writer, downstream = await deaf_client(proxy)
        writer.write(GET)
        async with asyncio.timeout(2):
            while not downstream._lost:
                await asyncio.sleep(0.01)
        writer.close()

    assert proxy.tally.requests[Result.SUCCESS] == 1  # all of it had come from the endpoint


async def test_a_server_that_speaks_before_it_is_asked_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = []

    async def connect(address: ResolvedAddress) -> Upstream:
        upstream = await connected(address)
        servers.append(listener.accept()[0])
        servers[0].sendall(response(200, b"EVIL"))  # before the loop has had a chance to see it
        return upstream

    connected = ResolvedAddress.connect
    monkeypatch.setattr(ResolvedAddress, "connect", connect)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with house([listener.getsockname()[1]]) as proxy:
            answer = await proxy.send(POST)
        with servers[0], pytest.raises(ConnectionResetError):
            servers[0].recv(1)

    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b'"reason":"protocol"' in answer.replace(b" ", b"")
    assert proxy.context.rejections["unexpected_bytes"] == 1


async def test_answers_to_pipelined_requests_that_nobody_reads_do_not_pile_up() -> None:
    size = 100_000
    async with Origin(replying(response(200, b"z" * size))) as origin, house([origin.port]) as proxy:
        reader, writer, downstream = await deaf_client(proxy)
        writer.write(GET * 50)
        await asyncio.sleep(0.4)
        unread = downstream.transport.get_write_buffer_size()
        for _ in range(50):
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(size)
        writer.close()

    assert unread < 3 * size
    assert len(origin.requests) == 50


async def test_an_answer_that_overtakes_its_upload_leaves_the_connection_readable() -> None:
    slow = asyncio.Event()
    over = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await slow.wait()
        writer.write(response(200, b"early"))
        await writer.drain()
        await over.wait()
        writer.transport.abort()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0, limit=65536)
    port = server.sockets[0].getsockname()[1]
    body = 12_000_000
    async with house([port]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        writer.write(b"PUT /x HTTP/1.1\r\nHost: payments\r\nContent-Length: %d\r\n\r\n" % body)
        writer.write(b"u" * body)
        await asyncio.sleep(0.3)
        downstream = next(iter(proxy.own._downstreams))
        held = downstream.read_gate.held
        slow.set()
        got = await asyncio.wait_for(read_response(reader), 5)
        released = downstream.read_gate.held
        writer.transport.abort()
        over.set()
        await asyncio.sleep(0.02)
    server.close()

    assert held
    assert got.endswith(b"early")
    assert not released


async def test_a_body_that_is_nonsense_from_its_first_byte_leaves_nothing_counted_as_under_way() -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        await proxy.send(
            b"PUT / HTTP/1.1\r\nHost: payments\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", until_close=True
        )
        busy = proxy.context.busy

    assert busy == 0


# What is final, and what is told


async def test_the_refusal_of_a_sidecar_behind_the_endpoint_is_final() -> None:
    async with Origin(replying(response(503, b"no", "x-sidecar-refusal: breaker_open"), response(200))) as origin:
        async with house([origin.port]) as proxy:
            answer = await proxy.send(GET)

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert answer.count(b"x-sidecar-refusal: ") == 1
    assert b"x-sidecar-refusal: peer_refused\r\n" in answer
    assert len(origin.requests) == 1
    assert proxy.tally.refusals[Refusal.PEER_REFUSED] == 1


async def test_the_number_of_an_attempt_reaches_the_service_and_is_not_for_the_service_to_make_up() -> None:
    retried = GET.replace(b"\r\n\r\n", b"\r\nX-Retry-Attempt: 2\r\n\r\n")
    async with Origin(replying(response(200))) as origin:
        async with house([origin.port], ingress=True) as inbound:
            await inbound.send(retried)
        async with house([origin.port]) as outbound:
            await outbound.send(retried)

    assert [request.header("x-retry-attempt") for request in origin.requests] == ["2", None]


async def test_what_the_service_says_of_its_attempts_does_not_hide_ours() -> None:
    claiming = GET.replace(b"\r\n\r\n", b"\r\nX-Retry-Attempt: 9\r\n\r\n")
    async with Origin(replying(response(503), response(200))) as origin, house([origin.port]) as proxy:
        await proxy.send(claiming)

    assert [request.header("x-retry-attempt") for request in origin.requests] == [None, "2"]


async def test_an_answer_of_our_own_names_the_request_and_the_limit_that_was_hit() -> None:
    asked = GET.replace(b"\r\n\r\n", b'\r\nX-Request-Id: r"1\r\n\r\n')
    async with Origin(hanging) as origin, house([origin.port], replace(GENEROUS, timeout=0.5)) as proxy:
        answer = await proxy.send(asked)

    head, _, body = answer.partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert b"Proxy-Status: sidecar; error=http_response_timeout\r\n" in head + b"\r\n"
    assert (problem["request_id"], problem["limit"]) == ('r"1', "timeout 0.5s")


async def test_a_caller_who_leaves_a_slow_attempt_makes_place_for_the_next_a_moment_later() -> None:
    one = ConcurrencyPolicy(initial=1, min_in_flight=1, max_in_flight=1)
    policy = replace(GENEROUS, retry=RetryPolicy(max_attempts=1), concurrency=one)
    arrived = asyncio.Event()

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        if arrived.is_set():
            writer.write(response(200))
        else:
            arrived.set()
            await asyncio.sleep(8.0)

    async with Origin(answer) as origin, house([origin.port], policy) as proxy:
        leaving = asyncio.create_task(proxy.send(GET))
        await arrived.wait()
        waiting = asyncio.create_task(proxy.send(GET))
        slow_at = origin.requests[0].at + policy.per_attempt_timeout + 0.02
        while not proxy.destination.limiter.waiting or time.monotonic() < slow_at:
            await asyncio.sleep(0.005)
        leaving.cancel()
        left_at = time.monotonic()
        got = await waiting

    assert got.startswith(b"HTTP/1.1 200 ")
    assert 0.8 * RECLAIM_INTERVAL_SECONDS <= origin.requests[1].at - left_at <= 1.0


# On a fake clock


def test_no_attempt_is_made_before_the_instant_that_retry_after_names() -> None:
    on = Stage(HTTP1)
    client = on.ask()
    on.http1.data_received(response(429, b"", "Retry-After: 2"))

    on.loop.advance(1.99)
    before = len(on.streams)
    on.loop.advance(1.0)
    on.http1.data_received(response(200))

    assert before == 0
    assert client.log == ["respond 200", "end"]


def test_a_retry_after_that_is_a_date_counts_from_the_date_of_the_answer() -> None:
    on = Stage(HTTP1)
    date, until = formatdate(1_000_000, usegmt=True), formatdate(1_000_002, usegmt=True)
    on.ask()
    on.http1.data_received(response(429, b"", f"Date: {date}", f"Retry-After: {until}"))

    on.loop.advance(1.99)
    before = len(on.streams)
    on.loop.advance(1.0)

    assert (before, len(on.streams)) == (0, 1)


def test_an_original_over_the_limit_waits_for_its_turn() -> None:
    on = Stage(HTTP1, replace(GENEROUS, concurrency=ONE))
    clients = [on.ask() for _ in range(3)]

    for answered in range(1, 4):
        assert len(on.streams) == 1
        on.loop.advance(0.05)
        on.http1.data_received(response(200))
        assert sum(client.log == ["respond 200", "end"] for client in clients) == answered

    assert len(on.transports) == 1


def test_an_original_that_waits_in_vain_is_refused_in_time() -> None:
    on = Stage(HTTP1, replace(GENEROUS, timeout=0.4, per_attempt_timeout=3.0, concurrency=ONE))
    clients = [on.ask() for _ in range(2)]

    on.loop.advance(0.5)

    assert [client.log for client in clients] == [["refuse 504 timeout"], ["refuse 503 concurrency_limit"]]
    assert on.destination.tally.refusals[Refusal.CONCURRENCY_LIMIT] == 1


def test_a_wait_that_began_during_an_upload_lasts_as_long_as_the_deadline_it_then_has() -> None:
    once = RetryPolicy(max_attempts=1, min_remaining=0.3)
    on = Stage(HTTP1, replace(GENEROUS, timeout=0.8, per_attempt_timeout=3.0, retry=once, concurrency=ONE))
    on.ask()
    on.loop.advance(0.02)
    client = on.upload()
    on.loop.advance(0.4)
    assert client.exchange is not None

    client.exchange.on_request_end(b"")
    on.loop.advance(0.28)
    on.http1.data_received(response(200))

    assert on.sent_by(client)
    assert client.log == []
