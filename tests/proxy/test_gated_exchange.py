"""Requests under the Idempotency-Key contract, on real sockets: what is run, what is answered, and what is kept."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from msgspec.structs import replace

from sidecar.governance.documents.limits import WireLimits
from sidecar.idempotency.desk import KeyDesk
from sidecar.idempotency.gate import IngressGate
from sidecar.proxy.downstream import Downstream
from tests.fakes.house import GENEROUS, House, house, read_response
from tests.fakes.key_gates import BEST_EFFORT, REEXECUTE_OK, BrokenStore, key_gate, keyed_route
from tests.fakes.origin import Answer, Origin, Request, hanging, hanging_up, replying, response

WITHIN = 5.0


def post(key: str | None = "k1", body: bytes = b'{"amount": 1}', *fields: str, path: str = "/pay") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: a", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [] if key is None else [f"Idempotency-Key: {key}"]
    return "\r\n".join([*lines, *fields, "", ""]).encode() + body


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def reason(answer: bytes) -> str:
    word = json.loads(answer.partition(b"\r\n\r\n")[2])["reason"]
    assert isinstance(word, str)
    return word


def counts(gate: IngressGate, route: str = "pay") -> dict[str, int]:
    return {outcome.value: number for outcome, number in gate.counts[route].items() if number}


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@asynccontextmanager
async def gated(answer: Answer, gate: IngressGate, **more: object) -> AsyncIterator[tuple[House, Origin]]:
    async with Origin(answer) as origin, house([origin.port], ingress=True, **more) as proxy:  # type: ignore[arg-type]
        proxy.route.gate = gate
        yield proxy, origin
        await until(lambda: proxy.context.busy == 0)
    await gate.close()


def counting(*, pause: float = 0.0) -> Answer:
    """Charges once for each request it gets: its body says how often so far."""
    charges = 0

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal charges
        charges += 1
        number = charges
        await asyncio.sleep(pause)
        writer.write(response(201, b"charge %d" % number, "Location: /charges/1", "Set-Cookie: a=b"))

    return answer


async def test_a_key_is_run_once_and_its_answer_is_given_again_byte_for_byte() -> None:
    gate = key_gate()
    async with gated(counting(), gate) as (proxy, origin):
        first = await proxy.send(post())
        second = await proxy.send(post('"k1"', b'{ "amount":1 }'))

    assert len(origin.requests) == 1
    assert status(first) == status(second) == 201
    assert first.partition(b"\r\n\r\n")[2] == second.partition(b"\r\n\r\n")[2] == b"charge 1"
    assert b"Idempotent-Replayed" not in first
    assert b"Idempotent-Replayed: true\r\n" in second
    assert b"Location: /charges/1\r\n" in second
    assert b"Set-Cookie" not in second
    assert counts(gate) == {"new": 1, "completed": 1, "replayed": 1}


async def test_of_fifty_equal_requests_at_once_one_is_run() -> None:
    gate = key_gate()
    async with gated(counting(pause=0.2), gate) as (proxy, origin):
        answers = await asyncio.gather(*(proxy.send(post()) for _ in range(50)))

    assert len(origin.requests) == 1
    assert sorted(map(status, answers)) == [201] + [409] * 49
    assert {reason(answer) for answer in answers if status(answer) == 409} == {"in_flight"}
    assert all(b"Retry-After: 1\r\n" in answer for answer in answers if status(answer) == 409)


async def test_the_second_of_two_waits_for_the_first_where_the_route_says_so() -> None:
    gate = key_gate(keyed_route(wait=5.0))
    async with gated(counting(pause=0.2), gate) as (proxy, origin):
        answers = await asyncio.gather(*(proxy.send(post()) for _ in range(10)))

    assert len(origin.requests) == 1
    assert [status(answer) for answer in answers] == [201] * 10


@pytest.mark.parametrize(
    ("request_bytes", "code", "word"),
    [
        (post(None), 400, "key_missing"),
        (post(""), 400, "key_malformed"),
        (post("x" * 256), 400, "key_malformed"),
        (post("a", b"{}", "Idempotency-Key: b"), 400, "key_malformed"),
        (post("k1", b"x" * 2000), 413, "body_too_large"),
    ],
)
async def test_what_the_contract_does_not_allow_is_refused_and_not_sent(
    request_bytes: bytes, code: int, word: str
) -> None:
    async with gated(counting(), key_gate(max_request_bytes=1000)) as (proxy, origin):
        answer = await proxy.send(request_bytes)

    assert (status(answer), reason(answer)) == (code, word)
    assert f"urn:retry-sidecar:problem:{word}".encode() in answer
    assert origin.requests == []


async def test_a_key_that_is_not_required_may_be_left_out() -> None:
    gate = key_gate(keyed_route(required=False))
    async with gated(counting(), gate) as (proxy, origin):
        answers = [await proxy.send(post(None)) for _ in range(2)]

    assert [status(answer) for answer in answers] == [201, 201]
    assert len(origin.requests) == 2
    assert counts(gate) == {"without_key": 2}


async def test_another_request_with_the_key_is_refused_before_it_is_said_to_be_in_flight() -> None:
    async with gated(counting(pause=0.3), key_gate()) as (proxy, origin):
        first = asyncio.create_task(proxy.send(post()))
        await until(lambda: len(origin.requests) == 1)
        other = await proxy.send(post(body=b'{"amount": 2}'))
        await first

    assert (status(other), reason(other)) == (422, "key_reused")


async def test_the_same_key_of_another_caller_is_another_key() -> None:
    async with gated(counting(), key_gate()) as (proxy, origin):
        await proxy.send(post("k1", b"{}", "Authorization: Bearer a"))
        other = await proxy.send(post("k1", b"{}", "Authorization: Bearer b"))

    assert len(origin.requests) == 2
    assert other.endswith(b"charge 2")


async def test_a_key_may_stand_in_the_body() -> None:
    gate = key_gate(keyed_route(header=b"", pointer=("event", "id")))
    async with gated(counting(), gate) as (proxy, origin):
        for _ in range(2):
            await proxy.send(post(None, b'{"event": {"id": "evt_1"}}'))
        missing = await proxy.send(post(None, b'{"event": {}}'))

    assert len(origin.requests) == 1
    assert reason(missing) == "key_missing"


async def test_an_error_of_the_service_is_kept_and_not_run_again() -> None:
    gate = key_gate()
    async with gated(replying(response(500, b"boom"), response(201)), gate) as (proxy, origin):
        first, second = await proxy.send(post()), await proxy.send(post())

    assert len(origin.requests) == 1
    assert status(first) == status(second) == 500
    assert second.endswith(b"boom")
    assert counts(gate) == {"new": 1, "unknown": 1, "outcome_unknown": 1}


async def test_a_lost_answer_leaves_the_outcome_unknown() -> None:
    async with gated(hanging_up, key_gate()) as (proxy, origin):
        first, second = await proxy.send(post()), await proxy.send(post())

    assert len(origin.requests) == 1
    assert (status(first), reason(first)) == (502, "reset")
    assert (status(second), reason(second)) == (409, "outcome_unknown")


async def test_an_answer_that_does_not_come_leaves_the_outcome_unknown() -> None:
    policy = replace(GENEROUS, timeout=0.2, per_attempt_timeout=0.2)
    async with gated(hanging, key_gate(), policy=policy) as (proxy, origin):
        first, second = await proxy.send(post()), await proxy.send(post())

    assert len(origin.requests) == 1
    assert (status(first), status(second)) == (504, 409)


async def test_an_answer_that_breaks_off_leaves_the_outcome_unknown() -> None:
    async def broken(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    async with gated(broken, key_gate()) as (proxy, origin):
        first, second = await proxy.send(post()), await proxy.send(post())

    assert len(origin.requests) == 1
    assert (status(first), status(second)) == (502, 409)


async def test_what_was_never_sent_is_run_when_it_is_tried_again() -> None:
    gate = key_gate()
    origin = Origin(counting())
    async with origin:
        port = origin.port
    async with house([port], ingress=True) as proxy:
        proxy.route.gate = gate
        first = await proxy.send(post())
        async with origin:
            second = await proxy.send(post())
    await gate.close()

    assert (status(first), reason(first)) == (502, "connect_failure")
    assert status(second) == 201
    assert counts(gate) == {"new": 2, "released": 1, "completed": 1}


@pytest.mark.parametrize("code", [401, 403, 429])
async def test_an_answer_given_before_anything_was_done_releases_the_key(code: int) -> None:
    async with gated(replying(response(code), response(201)), key_gate()) as (proxy, _origin):
        answers = [await proxy.send(post()) for _ in range(2)]

    assert [status(answer) for answer in answers] == [code, 201]


@pytest.mark.parametrize("code", [302, 400, 404, 409, 422])
async def test_other_answers_of_the_service_are_final(code: int) -> None:
    async with gated(replying(response(code), response(201)), key_gate()) as (proxy, _origin):
        answers = [await proxy.send(post()) for _ in range(2)]

    assert [status(answer) for answer in answers] == [code, code]


async def test_the_service_knows_best_whether_it_did_anything() -> None:
    applied = response(500, b"late", "Idempotency-Outcome: applied")
    not_applied = response(500, b"early", "Idempotency-Outcome: not-applied")
    gate = key_gate()
    async with gated(replying(not_applied, applied, response(201)), gate) as (proxy, origin):
        answers = [await proxy.send(post()) for _ in range(3)]

    assert len(origin.requests) == 2
    assert [answer.partition(b"\r\n\r\n")[2] for answer in answers] == [b"early", b"late", b"late"]
    assert counts(gate) == {"new": 2, "released": 1, "completed": 1, "replayed": 1}


async def test_a_route_that_may_be_run_again_is_run_again_after_an_error() -> None:
    gate = key_gate(keyed_route(**REEXECUTE_OK))
    async with gated(replying(response(500), response(201)), gate) as (proxy, origin):
        answers = [await proxy.send(post()) for _ in range(3)]

    assert [status(answer) for answer in answers] == [500, 201, 201]
    assert len(origin.requests) == 2


async def test_a_client_that_leaves_finds_its_answer_when_it_comes_back() -> None:
    async with gated(counting(pause=0.3), key_gate()) as (proxy, origin):
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        writer.write(post())
        await until(lambda: len(origin.requests) == 1)
        writer.close()
        await until(lambda: proxy.context.busy == 0)
        answer = await proxy.send(post())

    assert len(origin.requests) == 1
    assert answer.endswith(b"charge 1")


async def test_a_client_that_leaves_before_its_request_is_whole_has_claimed_nothing() -> None:
    gate = key_gate()
    async with gated(counting(), gate) as (proxy, origin):
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        writer.write(post()[:-3])
        await until(lambda: proxy.context.busy == 1)
        writer.close()
        await until(lambda: proxy.context.busy == 0)

    assert gate.counts == {}
    assert origin.requests == []


async def test_a_body_that_comes_in_pieces_and_chunks_is_sent_whole() -> None:
    head = b"POST /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with gated(counting(), key_gate()) as (proxy, origin):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        for piece in (head, b"3\r\nabc\r\n", b"2\r\nde\r\n", b"0\r\n\r\n"):
            writer.write(piece)
            await asyncio.sleep(0.02)
        answer = await asyncio.wait_for(reader.readuntil(b"charge 1"), WITHIN)
        writer.close()

    assert status(answer) == 201
    assert origin.requests[0].body == b"abcde"


async def test_a_chunked_body_beyond_the_limit_is_refused() -> None:
    head = b"POST /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with gated(counting(), key_gate(max_request_bytes=4)) as (proxy, origin):
        answer = await proxy.send(head + b"5\r\nabcde\r\n", until_close=True)

    assert (status(answer), reason(answer)) == (413, "body_too_large")
    assert origin.requests == []


async def test_a_body_that_stops_coming_is_a_408_and_claims_nothing() -> None:
    limits = replace(WireLimits(), idle_timeout=0.1)
    gate = key_gate()
    async with gated(counting(), gate, limits=limits) as (proxy, _origin):
        answer = await proxy.send(post()[:-3], until_close=True)

    assert (status(answer), reason(answer)) == (408, "body_timeout")
    assert gate.counts == {}


async def test_a_client_that_asks_whether_to_go_on_is_told_to() -> None:
    async with gated(counting(), key_gate()) as (proxy, _origin):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        head, _, body = post("k1", b"{}", "Expect: 100-continue").partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        interim = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN)
        writer.write(body)
        answer = await asyncio.wait_for(reader.readuntil(b"charge 1"), WITHIN)
        writer.close()

    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert status(answer) == 201


async def test_an_answer_too_large_to_keep_is_passed_on_and_not_run_again() -> None:
    body = b"x" * 5000
    gate = key_gate(max_response_bytes=1000)
    async with gated(replying(response(201, body)), gate) as (proxy, origin):
        first, second = await proxy.send(post()), await proxy.send(post())

    assert len(origin.requests) == 1
    assert first.endswith(body)
    assert (status(second), reason(second)) == (201, "body_not_kept")
    assert b"Idempotent-Replayed: true\r\n" in second
    assert b"5000 bytes, SHA-256 " in second


async def test_a_stream_of_events_is_not_held_back() -> None:
    more = asyncio.Event()

    async def events(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
        )
        await more.wait()
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

    gate = key_gate()
    async with gated(events, gate) as (proxy, _origin):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        writer.write(post())
        await asyncio.wait_for(reader.readuntil(b"one"), WITHIN)
        more.set()
        await asyncio.wait_for(reader.readuntil(b"two"), WITHIN)
        await until(lambda: proxy.context.busy == 0)
        writer.close()

    assert counts(gate) == {"new": 1, "completed": 1}


async def test_a_chunked_answer_is_given_again_with_its_length() -> None:
    async def chunked(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await asyncio.sleep(0.05)
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

    async with gated(chunked, key_gate()) as (proxy, _origin):
        await proxy.send(post())
        again = await proxy.send(post())

    assert b"Content-Length: 6\r\n" in again
    assert again.endswith(b"onetwo")


async def test_a_store_that_is_down_refuses() -> None:
    gate = key_gate(store=BrokenStore())
    async with gated(counting(), gate) as (proxy, origin):
        answer = await proxy.send(post())

    assert (status(answer), reason(answer)) == (503, "store_unavailable")
    assert b"Retry-After: 1\r\n" in answer
    assert origin.requests == []


async def test_a_store_that_is_down_lets_pass_where_the_route_says_best_effort() -> None:
    gate = key_gate(keyed_route(**BEST_EFFORT), store=BrokenStore())
    async with gated(counting(), gate) as (proxy, _origin):
        answer = await proxy.send(post())

    assert status(answer) == 201
    assert counts(gate) == {"unprotected": 1}


async def test_an_end_that_can_not_be_written_down_is_answered_all_the_same_and_not_run_again() -> None:
    store = BrokenStore(swaps=1)
    gate = key_gate(store=store)
    async with gated(counting(), gate) as (proxy, origin):
        first = await proxy.send(post())
        store.swaps = 100
        second = await proxy.send(post())

    assert len(origin.requests) == 1
    assert (status(first), reason(second)) == (201, "in_flight")
    assert counts(gate)["unsettled"] == 1


async def test_a_slow_run_keeps_its_lease() -> None:
    gate = key_gate(lease=0.15)
    async with gated(counting(pause=0.6), gate) as (proxy, _origin):
        first = asyncio.create_task(proxy.send(post()))
        await asyncio.sleep(0.4)
        meanwhile = await proxy.send(post())
        assert status(await first) == 201

    assert reason(meanwhile) == "in_flight"
    assert counts(gate)["completed"] == 1


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    async with gated(counting(), key_gate()) as (proxy, origin):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        writer.write(post("a") + post("b") + post("a"))
        answers = await asyncio.wait_for(reader.readuntil(b"charge 2"), WITHIN)
        answers += await asyncio.wait_for(reader.readuntil(b"charge 1"), WITHIN)
        writer.close()

    assert len(origin.requests) == 2
    assert answers.index(b"charge 1") < answers.index(b"charge 2")


async def test_requests_of_other_routes_are_no_business_of_the_gate() -> None:
    gate = key_gate()
    async with gated(counting(), gate) as (proxy, origin):
        for _ in range(2):
            await proxy.send(post(path="/other"))
        await proxy.send(b"GET /pay HTTP/1.1\r\nHost: a\r\n\r\n")

    assert len(origin.requests) == 3
    assert gate.counts == {}
    assert gate.undeclared == {"POST": 2}


async def test_a_connection_is_used_again_after_every_kind_of_answer() -> None:
    gate = key_gate()
    async with gated(counting(), gate) as (proxy, _origin):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        words = []
        for request in (post("a"), post("a"), post(None), post("a", b'{"amount": 2}'), post("b")):
            writer.write(request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN)
            at = head.lower().index(b"content-length:") + 15
            await reader.readexactly(int(head[at:].split(b"\r\n")[0]))
            words.append(status(head))
        writer.close()

    assert words == [201, 201, 400, 422, 201]


async def test_nothing_is_left_when_clients_leave_at_any_moment() -> None:
    gate = key_gate(keyed_route(wait=0.2))

    async def leave_after(seconds: float, request: bytes, port: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        await asyncio.sleep(seconds)
        writer.close()

    async with gated(counting(pause=0.05), gate) as (proxy, origin):
        port = proxy.own.address.port
        await asyncio.gather(*(leave_after(n * 0.004, post(f"k{n // 3}"), port) for n in range(60)))
        await until(lambda: proxy.context.busy == 0)

    assert len(origin.requests) <= 20


@pytest.mark.parametrize("code", [204, 201, 299])
async def test_an_erased_answer_is_told_by_its_status_and_the_connection_goes_on(code: int) -> None:
    body = b"" if code == 204 else b"secret"
    reply = b"HTTP/1.1 204 No Content\r\n\r\n" if code == 204 else response(code, body)
    gate = key_gate()
    async with gated(replying(reply), gate) as (proxy, origin):
        await proxy.send(post())
        assert await KeyDesk(gate).erase("pay", {}) == 1
        twice = await proxy.send(post() + post(None, b"{}", "Connection: close"), until_close=True)

    assert len(origin.requests) == 1
    assert status(twice) == code
    assert b"secret" not in twice
    assert (b"body_not_kept" in twice) == (code != 204)
    assert twice.count(b"HTTP/1.1 ") == 2
    assert b"key_missing" in twice


async def test_a_body_that_is_announced_too_large_is_refused_before_it_comes_and_the_connection_closes() -> None:
    async with gated(counting(), key_gate(max_request_bytes=1000)) as (proxy, origin):
        head, _, _ = post("k1", b"x" * 2000).partition(b"\r\n\r\n")
        answer = await proxy.send(head + b"\r\n\r\n", until_close=True)

    assert (status(answer), reason(answer)) == (413, "body_too_large")
    assert b"Connection: close\r\n" in answer
    assert origin.requests == []


async def test_a_fault_of_our_own_leaves_no_client_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = key_gate()
    told: list[object] = []

    async def broken(*_: object) -> None:
        raise LookupError("a fault of our own")

    monkeypatch.setattr(gate, "admit", broken)
    async with gated(counting(), gate) as (proxy, origin):
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await proxy.send(post())

    assert [type(error) for error in told] == [LookupError]
    assert origin.requests == []


async def test_a_service_that_took_a_body_too_slowly_holds_nothing_back_of_the_request_behind_it() -> None:
    async def answer_unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response(201, b"charged", "Connection: close"))
        await writer.drain()
        writer.transport.abort()

    service = await asyncio.start_server(answer_unread, "127.0.0.1", 0)
    gate = key_gate(max_request_bytes=8 << 20)
    second = post("k2", b"0123456789")
    async with service, house([service.sockets[0].getsockname()[1]], ingress=True) as proxy:
        proxy.route.gate = gate
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        writer.write(post("k1", b"x" * (6 << 20)) + second[:-5])
        first = await asyncio.wait_for(read_response(reader), WITHIN)
        writer.write(second[-5:])
        answer = await asyncio.wait_for(read_response(reader), WITHIN)
        writer.close()
        await until(lambda: proxy.context.busy == 0)
    await gate.close()

    assert status(first) == status(answer) == 201


@asynccontextmanager
async def faults_expected() -> AsyncIterator[list[str]]:
    """The faults of our own that the event loop is told of, in place of its log."""
    told: list[str] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: told.append(str(context.get("exception"))))
    try:
        yield told
    finally:
        loop.set_exception_handler(before)


def failing(*_: object, **__: object) -> None:
    raise RuntimeError("a fault of our own")


@pytest.mark.parametrize("method", ["respond", "end", "body"])
@pytest.mark.parametrize("guarded", [True, False], ids=["with a key", "without"])
async def test_a_writer_that_fails_leaves_nothing_busy(
    method: str, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def in_pieces(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 6\r\n\r\n")
        for piece in (b"on", b"e", b"two"):
            await asyncio.sleep(0.02)
            writer.write(piece)

    gate = key_gate(keyed_route(required=False), lease=0.2)
    async with faults_expected() as told, gated(in_pieces, gate) as (proxy, _origin):
        monkeypatch.setattr(Downstream, method, failing)
        with suppress(OSError, EOFError):
            await proxy.send(post("k1" if guarded else None), until_close=True)
        await until(lambda: proxy.context.busy == 0)

    assert told == ["a fault of our own"]


async def test_an_answer_that_can_not_be_kept_ends_its_request_and_leaves_the_key_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = key_gate(lease=0.2)
    async with faults_expected() as told, gated(counting(), gate) as (proxy, origin):
        with monkeypatch.context() as patch:
            patch.setattr("sidecar.idempotency.gate.encode_answer", failing)
            with suppress(OSError, EOFError):
                await proxy.send(post(), until_close=True)
        await until(lambda: proxy.context.busy == 0)
        await asyncio.sleep(0.3)  # its lease, which nobody renews any more
        again = await proxy.send(post())

    assert told == ["a fault of our own"]
    assert len(origin.requests) == 1
    assert (status(again), reason(again)) == (409, "outcome_unknown")
    assert counts(gate)["unsettled"] == 1


async def test_an_exchange_that_can_not_begin_leaves_nothing_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = key_gate(lease=0.2)
    async with faults_expected() as told, gated(counting(), gate) as (proxy, origin):
        with monkeypatch.context() as patch:
            patch.setattr("sidecar.proxy.exchange.Exchange._attempt", failing)
            with suppress(OSError, EOFError):
                await proxy.send(post(), until_close=True)
        await until(lambda: proxy.context.busy == 0)

    assert told == ["a fault of our own"]
    assert origin.requests == []
