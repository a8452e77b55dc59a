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
    BackoffPolicy,
    BreakerPolicy,
    BudgetPolicy,
    ConcurrencyPolicy,
    LimitKind,
    RetryAfterPolicy,
    RetryPolicy,
)
from sidecar.engine.verdict import Refusal
from sidecar.governance.documents.limits import WireLimits
from sidecar.proxy.codecs import HTTP1, Codecs
from sidecar.proxy.downstream import Downstream
from sidecar.proxy.open_files import OutOfFiles
from sidecar.proxy.pool import ResolvedAddress
from sidecar.proxy.upstream import Upstream
from tests.fakes.house import GENEROUS, House, house, read_response
from tests.fakes.multiplexed import Kind, Multiplexed, frame, frames
from tests.fakes.origin import Origin, Request, hanging, hanging_up, replying, response
from tests.fakes.playbook import Stage

MANY = Codecs(Multiplexed, {})
GET = b"GET /x HTTP/1.1\r\nHost: payments\r\n\r\n"
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


@pytest.mark.parametrize("dated", [False, True])
async def test_no_attempt_is_made_before_retry_after_in_either_form(*, dated: bool) -> None:
    now = time.time()
    headers = (
        [f"Date: {formatdate(now, usegmt=True)}", f"Retry-After: {formatdate(now + 2, usegmt=True)}"]
        if dated
        else ["Retry-After: 2"]
    )
    async with Origin(replying(response(429, b"", *headers), response(200))) as origin, house([origin.port]) as proxy:
        answer = await proxy.send(GET)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert origin.requests[1].at - origin.requests[0].at >= 2.0


async def test_a_retry_after_that_is_too_long_delivers_the_original_at_once() -> None:
    async with Origin(replying(response(429, b"later", "Retry-After: 600"))) as origin, house([origin.port]) as proxy:
        answer = await proxy.send(GET)

    assert len(origin.requests) == 1
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"Retry-After: 600\r\n" in answer
    assert b"x-sidecar-refusal: retry_after_too_long\r\n" in answer


async def test_an_answer_to_the_retry_of_a_late_attempt_calls_the_late_one_off() -> None:
    calls = 0

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.sleep(30)
        writer.write(response(200))

    async with Origin(answer) as origin, house([origin.port]) as proxy:
        got = await proxy.send(GET)

    assert got.startswith(b"HTTP/1.1 200 ")
    assert proxy.tally.retries == {"timeout": 1}
    late, retry = proxy.notes.records[0].attempts
    assert [(a.outcome, a.late) for a in (late, retry)] == [("superseded", True), ("200", False)]
    assert late.began + late.seconds > retry.began


async def test_a_slow_write_is_left_running_and_its_late_answer_delivered() -> None:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.6)
        writer.write(response(201))

    async with Origin(answer) as origin, house([origin.port]) as proxy:
        got = await proxy.send(POST)

    assert got.startswith(b"HTTP/1.1 201 ")
    assert len(origin.requests) == 1


async def test_no_answer_by_the_deadline_is_a_504() -> None:
    impatient = replace(GENEROUS, timeout=0.4, per_attempt_timeout=0.2)
    async with Origin(hanging) as origin, house([origin.port], impatient) as proxy:
        began = asyncio.get_running_loop().time()
        answer = await proxy.send(POST)
        took = asyncio.get_running_loop().time() - began

    assert answer.startswith(b"HTTP/1.1 504 ")
    assert took >= 0.4
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["reason"] == "timeout"
    assert proxy.destination.limiter.in_flight == 0


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


async def test_an_original_over_the_limit_waits_for_its_turn() -> None:
    one = ConcurrencyPolicy(limit=LimitKind.FIXED, min_in_flight=1, max_in_flight=1)

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(response(200))

    async with Origin(answer) as origin, house([origin.port], replace(GENEROUS, concurrency=one)) as proxy:
        answers = await asyncio.gather(*(proxy.send(GET) for _ in range(3)))

    times = [request.at for request in origin.requests]
    assert all(got.startswith(b"HTTP/1.1 200 ") for got in answers)
    assert times[1] - times[0] >= 0.045
    assert times[2] - times[1] >= 0.045


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


async def test_an_original_that_waits_in_vain_is_refused_in_time() -> None:
    one = ConcurrencyPolicy(limit=LimitKind.FIXED, min_in_flight=1, max_in_flight=1)
    policy = replace(GENEROUS, timeout=0.4, per_attempt_timeout=3.0, concurrency=one)
    async with Origin(hanging) as origin, house([origin.port], policy) as proxy:
        answers = await asyncio.gather(*(proxy.send(GET) for _ in range(2)))

    assert sorted(answer[9:12] for answer in answers) == [b"503", b"504"]
    assert proxy.tally.refusals[Refusal.CONCURRENCY_LIMIT] == 1
    assert len(origin.requests) == 1


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


async def test_a_slow_attempt_that_is_left_running_lowers_no_limit_and_is_told_of() -> None:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        writer.write(response(201))

    async with Origin(answer) as origin, house([origin.port]) as proxy:
        before = proxy.destination.limiter.limit
        await proxy.send(POST)
        after = proxy.destination.limiter.limit

    assert after == before
    (record,) = proxy.notes.records
    (attempt,) = record.attempts
    assert record.status == 201
    assert attempt.outcome == "201"
    assert 0.5 <= attempt.seconds < 1.0


async def test_an_exchange_is_told_of_with_the_place_of_each_attempt_in_its_time() -> None:
    async with Origin(replying(response(503), response(200))) as origin, house([origin.port]) as proxy:
        await proxy.send(GET)

    (record,) = proxy.notes.records
    first, second = record.attempts
    assert (first.outcome, second.outcome) == ("503", "200")
    assert 0.0 <= first.began <= 0.1
    assert first.began + first.seconds + second.backoff <= second.began + 0.001
    assert second.began + second.seconds <= record.seconds + 0.001


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


HELD = b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\nRetry-After: 1\r\n\r\n"


async def test_of_an_answer_that_is_held_back_no_more_is_kept_than_has_come() -> None:
    async def endless(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(HELD)
        for _ in range(400):
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()

    async with Origin(endless) as origin, house([origin.port]) as proxy:
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        writer.write(GET)
        await asyncio.sleep(0.5)
        held = next(iter(proxy.own._downstreams))._exchange._held  # type: ignore[union-attr]
        kept = len(held.body)
        writer.transport.abort()
        await asyncio.sleep(0)

    assert kept < 1_000_000


async def test_nonsense_in_an_answer_that_is_held_back_is_a_fault_when_no_retry_leaves() -> None:
    async with Origin(replying(HELD + b"zz\r\n")) as origin, house([origin.port]) as proxy:
        answer = asyncio.create_task(proxy.send(GET, until_close=True))
        await asyncio.sleep(0.3)
        proxy.destination.draining = proxy.context.draining = True
        got = await answer

    assert got.startswith(b"HTTP/1.1 502 ")
    assert b'"reason":"protocol"' in got
    assert b"x-sidecar-refusal: draining\r\n" in got


async def test_a_body_that_is_nonsense_from_its_first_byte_leaves_nothing_counted_as_under_way() -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        await proxy.send(
            b"PUT / HTTP/1.1\r\nHost: payments\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", until_close=True
        )
        busy = proxy.context.busy

    assert busy == 0


async def test_a_wait_that_began_during_an_upload_lasts_as_long_as_the_deadline_it_then_has() -> None:
    one = ConcurrencyPolicy(limit=LimitKind.FIXED, initial=1, min_in_flight=1, max_in_flight=1)
    once = RetryPolicy(max_attempts=1, min_remaining=0.3)
    policy = replace(GENEROUS, timeout=0.8, per_attempt_timeout=3.0, retry=once, concurrency=one)

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.7)
        writer.write(response(200))

    async with Origin(answer) as origin, house([origin.port], policy) as proxy:
        first = asyncio.create_task(proxy.send(GET))
        await asyncio.sleep(0.02)
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        writer.write(POST[:-1])
        await asyncio.sleep(0.4)
        writer.write(b"c")
        got = await asyncio.wait_for(read_response(reader), 5)
        await first
        writer.close()

    assert len(origin.requests) == 2
    assert not got.startswith(b"HTTP/1.1 503 ")


# Two attempts at once: late ones, on a fake clock


def frames_for(on: Stage, number: int, status: int, *, connection: int = 0) -> None:
    """Answer a stream of the multiplexed codec."""
    made: dict[int, Multiplexed] = on_connections(on)
    made[connection].data_received(frame(number, Kind.HEAD, b"%d\r\n" % status) + frame(number, Kind.END))


def on_connections(on: Stage) -> dict[int, Multiplexed]:
    found = [one for address in on.pool.addresses for one in address.spare if isinstance(one, Multiplexed)]
    return dict(enumerate(found))


def late_stage(**changes: object) -> Stage:
    """A GET whose first attempt, stream 1, is late, and whose retry, stream 2, is on its way."""
    on = Stage(MANY, replace(GENEROUS, **changes))  # type: ignore[arg-type]
    client = on.ask()
    assert client.log == []
    on.loop.advance(0.5)
    return on


def sent_numbers(on: Stage) -> list[tuple[int, str]]:
    return [(number, kind.name) for number, kind, _ in frames(on.transports[0].take()) if kind is not Kind.END]


def outcomes(on: Stage) -> list[tuple[int, str, bool]]:
    (record,) = on.notes.records
    return [(one.number, one.outcome, one.late) for one in record.attempts]


def nothing_is_taken(on: Stage) -> bool:
    limiter = on.destination.limiter
    return limiter.awaited == 0 and on.pool.addresses[0].in_flight == 0 and on.context.busy == 0


def test_a_late_attempt_goes_on_beside_its_retry_and_wins_if_it_is_answered_first() -> None:
    on = late_stage()

    frames_for(on, 1, 200)

    assert on.clients[0].log == ["respond 200", "end"]
    assert sent_numbers(on) == [(1, "HEAD"), (2, "HEAD"), (2, "CANCEL")]
    assert outcomes(on) == [(1, "200", True), (2, "superseded", False)]
    assert on.destination.tally.late_wins == 1
    assert nothing_is_taken(on)


def test_the_retry_of_a_late_attempt_wins_if_it_is_answered_first() -> None:
    on = late_stage()

    frames_for(on, 2, 200)

    assert on.clients[0].log == ["respond 200", "end"]
    assert sent_numbers(on) == [(1, "HEAD"), (2, "HEAD"), (1, "CANCEL")]
    assert outcomes(on) == [(1, "superseded", True), (2, "200", False)]
    assert nothing_is_taken(on)


def test_a_failure_of_the_retry_leaves_the_late_attempt_awaited() -> None:
    on = late_stage()

    frames_for(on, 2, 503)
    before = list(on.clients[0].log)
    frames_for(on, 1, 200)

    assert before == []
    assert on.clients[0].log == ["respond 200", "end"]
    assert outcomes(on) == [(1, "200", True), (2, "503", False)]
    assert nothing_is_taken(on)


def test_a_failure_of_the_late_attempt_leaves_its_retry_awaited() -> None:
    on = late_stage()

    frames_for(on, 1, 503)
    before = list(on.clients[0].log)
    frames_for(on, 2, 200)

    assert before == []
    assert on.clients[0].log == ["respond 200", "end"]
    assert nothing_is_taken(on)


def test_never_are_three_attempts_under_way_at_once() -> None:
    on = late_stage(retry=RetryPolicy(max_attempts=4))

    on.loop.advance(1.5)

    assert sent_numbers(on) == [(1, "HEAD"), (2, "HEAD")]


def test_when_both_are_still_awaited_at_the_deadline_both_are_called_off() -> None:
    on = late_stage()

    on.loop.advance(3.0)

    assert on.clients[0].log == ["refuse 504 timeout"]
    assert sent_numbers(on) == [(1, "HEAD"), (2, "HEAD"), (1, "CANCEL"), (2, "CANCEL")]
    assert outcomes(on) == [(1, "timeout", True), (2, "timeout", True)]
    assert nothing_is_taken(on)


def test_a_client_that_leaves_while_two_are_under_way_leaves_neither_behind() -> None:
    on = late_stage()
    exchange = on.clients[0].exchange
    assert exchange is not None

    exchange.on_client_gone()

    assert sent_numbers(on) == [(1, "HEAD"), (2, "HEAD"), (1, "CANCEL"), (2, "CANCEL")]
    assert nothing_is_taken(on)


def test_a_late_attempt_that_fails_before_its_retry_has_left_is_judged_anew() -> None:
    slow = BackoffPolicy(base=1.0, max=1.0)
    on = Stage(MANY, replace(GENEROUS, retry=RetryPolicy(backoff=slow)))
    on.ask()
    on.loop.advance(0.35)  # late, and half a second of back-off before its retry

    on_connections(on)[0].data_received(frame(1, Kind.HEAD, b"503\r\n") + frame(1, Kind.END))
    on.loop.advance(0.4)
    between = sent_numbers(on)
    on.loop.advance(0.3)
    frames_for(on, 2, 200)

    assert between == [(1, "HEAD")]
    assert on.clients[0].log == ["respond 200", "end"]
    assert on.destination.tally.retries == {"status_503": 1}
    assert nothing_is_taken(on)


def test_the_slot_of_a_retry_that_could_not_be_made_goes_to_who_waits_for_it_while_the_late_attempt_goes_on() -> None:
    two = ConcurrencyPolicy(limit=LimitKind.FIXED, initial=2, min_in_flight=2, max_in_flight=2)
    on = Stage(HTTP1, replace(GENEROUS, concurrency=two), connects_at_once=False)
    first = on.ask()
    on.connects[0].open()
    on.loop.advance(0.5)  # late: its retry has begun, and waits for a connection of its own
    second = on.ask()
    waited = on.destination.limiter.waiting and len(on.connects) == 2

    on.connects[1].open(OutOfFiles())

    assert waited
    assert not on.destination.limiter.waiting
    assert len(on.connects) == 3  # the second one's
    assert (first.log, second.log) == ([], [])
    assert on.destination.limiter.in_flight == 2


def test_a_write_that_is_late_gets_no_second_attempt_and_its_answer_is_delivered() -> None:
    on = Stage(MANY)
    client = on.ask(b"POST")
    on.loop.advance(1.0)

    frames_for(on, 1, 201)

    assert client.log == ["respond 201", "end"]
    assert sent_numbers(on) == [(1, "HEAD")]
    assert nothing_is_taken(on)


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


@pytest.mark.parametrize("ending", ["close", "nonsense"])
async def test_an_answer_that_breaks_off_is_in_the_log_and_counted_as_committed(ending: str) -> None:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)
        if ending == "nonsense":
            writer.write(b"zz\r\n")
        writer.close()

    async with Origin(answer) as origin, house([origin.port]) as proxy:
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await proxy.send(GET)

    (record,) = proxy.notes.records
    assert (record.status, record.result, record.refusal) == (200, "fault", "committed")
    assert [attempt.outcome for attempt in record.attempts] == ["reset" if ending == "close" else "protocol"]
    assert proxy.tally.refusals[Refusal.COMMITTED] == 1


async def test_an_answer_of_our_own_names_the_request_and_the_limit_that_was_hit() -> None:
    asked = GET.replace(b"\r\n\r\n", b'\r\nX-Request-Id: r"1\r\n\r\n')
    async with Origin(hanging) as origin, house([origin.port], replace(GENEROUS, timeout=0.5)) as proxy:
        answer = await proxy.send(asked)

    head, _, body = answer.partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert b"Proxy-Status: sidecar; error=http_response_timeout\r\n" in head + b"\r\n"
    assert (problem["request_id"], problem["limit"]) == ('r"1', "timeout 0.5s")


def test_a_held_answer_is_not_let_flow_by_its_client_that_drains_something_older() -> None:
    on = Stage(HTTP1)
    client = on.ask()
    upstream = on.streams[0]
    assert isinstance(upstream, Upstream)
    upstream.data_received(HELD.replace(b"Retry-After: 1\r\n", b"") + b"5\r\nhello\r\n")
    assert client.exchange is not None

    client.exchange.on_client_full()
    client.exchange.on_client_drained()

    assert upstream.read_gate.held


def test_a_held_answer_that_grows_beyond_its_bound_is_let_go() -> None:
    on = Stage(HTTP1, replace(GENEROUS, budget=BudgetPolicy(ratio=1.0, burst=10.0, min_retries=100)))
    client = on.ask()
    upstream = on.streams[0]
    assert isinstance(upstream, Upstream)
    upstream.data_received(HELD)
    for _ in range(17):
        upstream.data_received(b"10000\r\n" + b"x" * 65536 + b"\r\n")
    on.destination.draining = True
    on.loop.advance(2.0)

    assert on.transports[0].aborted
    assert client.log == ["refuse 502 reset"]
