"""What the endpoint sees of a trace, and what the tracer is told of it."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from sidecar.engine.policy import BreakerPolicy, BudgetPolicy, DestinationPolicy
from sidecar.telemetry.trace import ExchangeTrace
from tests.fakes.house import GENEROUS, House, house, read_response
from tests.fakes.origin import Answer, Origin, Request, hanging, hanging_up, replying, response

TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C
PARENT_ID = 0xB7AD6B7169203331
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
GET = "GET /charges/7?card=4242 HTTP/1.1\r\nHost: payments\r\n"


@dataclass
class Follower:
    """A tracer that keeps what it is told, and begins a trace when `share` says so."""

    share: bool = False
    traces: list[ExchangeTrace] = field(default_factory=list)

    def begins(self) -> bool:
        return self.share

    def record(self, trace: ExchangeTrace) -> None:
        self.traces.append(trace)


@dataclass
class Scene:
    proxy: House
    origin: Origin
    follower: Follower

    async def send(self, *headers: str, head: str = GET) -> bytes:
        lines = "".join(f"{header}\r\n" for header in headers)
        return await self.proxy.send(f"{head}{lines}\r\n".encode())

    @property
    def parents(self) -> list[tuple[str, int, int, str]]:
        """Of each request that the endpoint got: version, trace, parent and flags."""
        seen = [request.header("traceparent") or "" for request in self.origin.requests]
        return [
            (version, int(trace, 16), int(parent, 16), flags)
            for version, trace, parent, flags in (value.split("-") for value in seen)
        ]


@asynccontextmanager
async def scene(
    answer: Answer, policy: DestinationPolicy = GENEROUS, follower: Follower | None = None
) -> AsyncIterator[Scene]:
    async with Origin(answer) as origin, house([origin.port], policy) as proxy:
        follower = proxy.context.tracer = follower or Follower()
        yield Scene(proxy, origin, follower)


async def told(follower: Follower) -> ExchangeTrace:
    """The one exchange that the tracer was told of."""
    for _ in range(200):
        if follower.traces:
            break
        await asyncio.sleep(0.005)
    (trace,) = follower.traces
    return trace


async def test_each_attempt_is_a_child_of_its_own_in_the_callers_trace() -> None:
    async with scene(replying(response(503), response(200))) as on:
        answer = await on.send(f"traceparent: {TRACEPARENT}", "tracestate: vendor=1")
        trace = await told(on.follower)

    assert answer.startswith(b"HTTP/1.1 200 ")
    first, second = trace.attempts
    assert on.parents == [("00", TRACE_ID, first.span_id, "01"), ("00", TRACE_ID, second.span_id, "01")]
    assert len({first.span_id, second.span_id, trace.span_id, PARENT_ID}) == 4
    assert (trace.trace_id, trace.parent_id, trace.flags) == (TRACE_ID, PARENT_ID, 1)
    assert [request.header("tracestate") for request in on.origin.requests] == ["vendor=1"] * 2
    assert on.origin.requests[1].header("x-retry-attempt") == "2"


async def test_a_trace_tells_what_was_asked_what_came_of_it_and_how_long_it_took() -> None:
    async with scene(replying(response(503), response(200))) as on:
        await on.send(f"traceparent: {TRACEPARENT}", "x-request-id: r-1")
        trace = await told(on.follower)
        port = on.origin.port

    first, second = trace.attempts
    (backoff,) = trace.events
    assert (trace.destination, trace.method, trace.path, trace.status, trace.result, trace.refusal) == (
        "payments",
        "GET",
        "/charges/7",
        200,
        "success",
        None,
    )
    assert trace.request_id == "r-1"
    assert [(one.kind, one.resend, one.outcome) for one in trace.attempts] == [("first", 0, "503"), ("retry", 1, "200")]
    assert {(one.scheme, one.host, one.port) for one in trace.attempts} == {("http", "127.0.0.1", port)}
    assert (backoff.name, backoff.attributes["cause"]) == ("backoff", "status_503")
    assert trace.began <= first.began <= first.ended <= backoff.at <= second.began <= second.ended <= trace.ended
    assert second.began - backoff.at >= float(backoff.attributes["seconds"])


async def test_a_success_at_once_is_a_span_and_no_log_line() -> None:
    async with scene(replying(response(200))) as on:
        await on.send(f"traceparent: {TRACEPARENT}")
        trace = await told(on.follower)

    assert [(one.kind, one.outcome) for one in trace.attempts] == [("first", "200")]
    assert trace.events == ()
    assert on.proxy.notes.records == []


@pytest.mark.parametrize(
    "lines",
    [
        (TRACEPARENT[:-2] + "00",),
        (TRACEPARENT[:-2] + "fe",),
        ("00-nonsense-01",),
        (TRACEPARENT, TRACEPARENT),
        (TRACEPARENT.upper(),),
    ],
    ids=["not sampled", "not sampled, odd flags", "nonsense", "twice", "upper case"],
)
async def test_what_is_not_followed_passes_byte_for_byte_and_is_not_told(lines: tuple[str, ...]) -> None:
    async with scene(replying(response(503), response(200))) as on:
        await on.send(*(f"TraceParent: {line}" for line in lines), "tracestate: a=1")

    for request in on.origin.requests:
        assert [header for header in request.headers if header[0].lower().startswith("trace")] == [
            *(("TraceParent", line) for line in lines),
            ("tracestate", "a=1"),
        ]
    assert len(on.origin.requests) == 2
    assert on.follower.traces == []


@pytest.mark.parametrize("lines", [(), ("00-nonsense-01",), (TRACEPARENT, TRACEPARENT)], ids=["none", "bad", "twice"])
async def test_a_trace_may_begin_here(lines: tuple[str, ...]) -> None:
    async with scene(replying(response(503), response(200)), follower=Follower(share=True)) as on:
        await on.send(*(f"traceparent: {line}" for line in lines), "tracestate: stray=1")
        trace = await told(on.follower)

    assert trace.parent_id == 0
    assert trace.trace_id not in {0, TRACE_ID}
    assert on.parents == [("00", trace.trace_id, one.span_id, "01") for one in trace.attempts]
    assert [request.header("tracestate") for request in on.origin.requests] == [None, None]
    assert on.proxy.notes.records[0].trace_id == f"{trace.trace_id:032x}"


async def test_a_choice_not_to_sample_is_the_callers_and_stays() -> None:
    async with scene(replying(response(200)), follower=Follower(share=True)) as on:
        await on.send(f"traceparent: {TRACEPARENT[:-2]}00")

    assert on.origin.requests[0].header("traceparent") == TRACEPARENT[:-2] + "00"
    assert on.follower.traces == []


async def test_without_a_tracer_traceparent_passes_byte_for_byte() -> None:
    async with scene(replying(response(503), response(200))) as on:
        on.proxy.context.tracer = None
        await on.send(f"TRACEparent: {TRACEPARENT}")

    assert [("TRACEparent", TRACEPARENT) in request.headers for request in on.origin.requests] == [True, True]


async def test_the_log_line_of_a_followed_exchange_names_its_trace() -> None:
    async with scene(replying(response(503), response(200))) as on:
        await on.send(f"traceparent: {TRACEPARENT}")

    assert [record.trace_id for record in on.proxy.notes.records] == [f"{TRACE_ID:032x}"]


async def test_a_refused_retry_is_an_event_at_the_time_of_the_refusal() -> None:
    policy = replace(GENEROUS, budget=BudgetPolicy(ratio=0.0, min_retries=0))

    async def slowly(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\n")
        await asyncio.sleep(0.1)
        writer.write(b"no")

    async with scene(slowly, policy) as on:
        await on.send(f"traceparent: {TRACEPARENT}")
        trace = await told(on.follower)

    (refusal,) = trace.events
    assert (refusal.name, dict(refusal.attributes)) == ("refusal", {"reason": "budget_exhausted"})
    assert (trace.refusal, trace.status, trace.result) == ("budget_exhausted", 503, "server_error")
    assert trace.ended - refusal.at >= 0.09
    assert refusal.at - trace.attempts[0].ended < 0.05


async def test_a_request_that_is_never_sent_has_a_span_and_no_attempt() -> None:
    policy = replace(
        GENEROUS,
        breaker=BreakerPolicy(consecutive_failures=1, open=5.0, max_open=5.0),
        budget=BudgetPolicy(ratio=0.0, min_retries=0),
    )
    async with scene(replying(response(503)), policy) as on:
        await on.send()
        await on.send(f"traceparent: {TRACEPARENT}")
        trace = await told(on.follower)

    assert len(on.origin.requests) == 1
    assert trace.attempts == ()
    assert (trace.status, trace.result) == (503, "refused")
    assert [dict(event.attributes) for event in trace.events] == [{"reason": "breaker_open"}]


async def test_an_attempt_without_an_answer_is_called_by_its_fault() -> None:
    async with scene(hanging_up) as on:
        await on.send(f"traceparent: {TRACEPARENT}")
        trace = await told(on.follower)

    assert [one.outcome for one in trace.attempts] == ["reset"] * 3
    assert [one.resend for one in trace.attempts] == [0, 1, 2]
    assert [event.name for event in trace.events] == ["backoff", "backoff", "refusal"]
    assert (trace.status, trace.result) == (502, "fault")
    assert len({parent for _, _, parent, _ in on.parents}) == 3


async def test_attempts_that_are_late_and_never_answered_have_spans_that_overlap() -> None:
    async with scene(hanging, replace(GENEROUS, per_attempt_timeout=0.05, timeout=0.5)) as on:
        await on.send(f"traceparent: {TRACEPARENT}")
        trace = await told(on.follower)

    assert [one.outcome for one in trace.attempts] == ["timeout"] * len(trace.attempts)
    assert len(trace.attempts) == 2  # at most two at once
    assert trace.attempts[0].ended > trace.attempts[1].began
    assert trace.status == 504


async def test_a_reconnect_is_an_attempt_with_a_span_of_its_own() -> None:
    """The endpoint closes the kept-alive connection exactly as the second request comes."""
    count = 0

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        if count == 2:
            writer.close()
        else:
            writer.write(response(200))

    async with scene(answer) as on:
        await on.send()
        await on.send(f"traceparent: {TRACEPARENT}")
        trace = await told(on.follower)

    assert [(one.kind, one.resend, one.outcome) for one in trace.attempts] == [
        ("first", 0, "stale"),
        ("reconnect", 1, "200"),
    ]
    sent = [request.header("traceparent") for request in on.origin.requests[1:]]
    assert [int((value or "").split("-")[2], 16) for value in sent] == [one.span_id for one in trace.attempts]


async def test_a_caller_that_leaves_ends_the_trace_without_a_status() -> None:
    async with scene(hanging) as on:
        _, writer = await asyncio.open_connection("127.0.0.1", on.proxy.own.address.port)
        writer.write(f"{GET}traceparent: {TRACEPARENT}\r\n\r\n".encode())
        while not on.origin.requests:
            await asyncio.sleep(0.005)
        writer.close()
        trace = await told(on.follower)

    assert (trace.status, trace.result) == (0, "abandoned")
    assert [one.outcome for one in trace.attempts] == ["abandoned"]


async def test_a_body_is_sent_again_with_each_attempt_of_a_followed_upload() -> None:
    head = "PUT /charges/7 HTTP/1.1\r\nHost: payments\r\nContent-Length: 5\r\n"
    async with scene(replying(response(503), response(200))) as on:
        await on.proxy.send(f"{head}traceparent: {TRACEPARENT}\r\n\r\nhello".encode())
        trace = await told(on.follower)

    assert [request.body for request in on.origin.requests] == [b"hello", b"hello"]
    assert [parent for _, _, parent, _ in on.parents] == [one.span_id for one in trace.attempts]


async def test_many_exchanges_on_one_connection_share_no_ids() -> None:
    request = f"{GET}traceparent: {TRACEPARENT}\r\n\r\n".encode()
    async with scene(replying(response(200))) as on:
        await on.proxy.send(
            request * 49 + request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), until_close=True
        )

    spans = [one.span_id for trace in on.follower.traces for one in trace.attempts]
    assert len(on.follower.traces) == len(spans) == len(set(spans)) == 50
    assert [parent for _, _, parent, _ in on.parents] == spans
    assert all(
        re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", request.header("traceparent") or "")
        for request in on.origin.requests
    )


async def test_a_head_that_is_known_by_its_bytes_is_followed_anew_each_time_or_not_at_all() -> None:
    async with scene(replying(response(200)), follower=Follower(share=True)) as on:
        reader, writer = await asyncio.open_connection("127.0.0.1", on.proxy.own.address.port)
        for share in (True, True, False, True):
            on.follower.share = share
            writer.write(f"{GET}\r\n".encode())
            await read_response(reader)
        writer.close()

    sent = [request.header("traceparent") for request in on.origin.requests]
    told = [f"00-{trace.trace_id:032x}-{trace.attempts[0].span_id:016x}-01" for trace in on.follower.traces]
    assert sent == [told[0], told[1], None, told[2]]
    assert len(set(told)) == 3
