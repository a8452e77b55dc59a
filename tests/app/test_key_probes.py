"""The service is asked what became of a key: a few times, beside the requests, and its word is kept with the key."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from sidecar.app.key_probes import MOST_WAITING, KeyProbes
from sidecar.governance.policy.contract import KeyProbe
from sidecar.idempotency.answer import answer_of
from sidecar.idempotency.desk import KeyDesk
from sidecar.idempotency.gate import (
    IngressGate,
    KeyedRequest,
    KeyRefusal,
    KeyReplay,
    KeyRun,
    ProbeOutcome,
    UnknownKey,
)
from sidecar.net import Endpoint
from tests.fakes.key_gates import REEXECUTE_OK, key_gate, keyed_route
from tests.fakes.origin import Answer, Origin, replying, response
from tests.fakes.waiting import turn, until

PROBE = KeyProbe("GET", "/by-key/{key}?full=1", frozenset({200}), frozenset({404}), 0.0)
FIELDS = b"Idempotency-Key: k/1\r\nAuthorization: Bearer a\r\nCookie: secret\r\n"
REQUEST = KeyedRequest(b"POST", b"/pay", FIELDS, b"{}")


@asynccontextmanager
async def asking(
    answer: Answer, pauses: tuple[float, ...] = (), probe: KeyProbe = PROBE, **terms: object
) -> AsyncIterator[tuple[IngressGate, Origin]]:
    gate = key_gate(keyed_route(probe=probe, **terms), max_response_bytes=100)
    async with Origin(answer) as origin:
        probes = KeyProbes(gate, lambda: Endpoint("http", "127.0.0.1", origin.port), pauses=pauses)
        gate.on_unknown = probes.ask
        yield gate, origin
        await probes.close()
    await gate.close()


async def in_doubt(gate: IngressGate) -> None:
    run = await gate.admit(gate.routes[0], REQUEST)
    assert isinstance(run, KeyRun)
    await run.doubt("reset")


def asked_for(gate: IngressGate) -> int:
    """The keys that the service is being asked for, or will be."""
    return len(gate.on_unknown.__self__._asked)  # type: ignore[union-attr]


def said(gate: IngressGate) -> dict[str, int]:
    counts = gate.probe_counts.get("pay", {})
    return {outcome.value: count for outcome, count in counts.items() if count}


async def test_what_was_applied_is_replayed_as_the_service_tells_it() -> None:
    told = response(200, b'{"charge": "ch_17"}', "Content-Type: application/json", "Set-Cookie: a=b")
    async with asking(replying(told)) as (gate, origin):
        await in_doubt(gate)
        await until(lambda: said(gate) == {"applied": 1})
        replay = await gate.admit(gate.routes[0], REQUEST)

    assert isinstance(replay, KeyReplay)
    assert replay.answer is not None
    assert (replay.answer.status, replay.answer.body) == (200, b'{"charge": "ch_17"}')
    assert b"Set-Cookie" not in replay.answer.fields
    asked = origin.requests[0]
    assert asked.line == "GET /by-key/k%2F1?full=1 HTTP/1.1"
    assert (asked.header("idempotency-key"), asked.header("authorization")) == ("k/1", "Bearer a")
    assert asked.header("cookie") is None


async def test_what_was_not_applied_is_run_again() -> None:
    async with asking(replying(response(404))) as (gate, _):
        await in_doubt(gate)
        await until(lambda: said(gate) == {"not_applied": 1})
        again = await gate.admit(gate.routes[0], REQUEST)
        assert isinstance(again, KeyRun)
        await again.release("test")


async def test_the_journal_has_who_settled_it_and_not_the_key() -> None:
    async with asking(replying(response(200))) as (gate, _):
        await in_doubt(gate)
        await until(lambda: said(gate) == {"applied": 1})
        desk = KeyDesk(gate)
        shown = await desk.show(desk.key_of("pay", "k/1", {"authorization": ["Bearer a"]}))

    last = shown["journal"][-1]  # type: ignore[index]
    assert (last["event"], last["by"], last["why"]) == ("resolved_applied", "probe", "GET answered 200")
    assert "k/1" not in str(shown)


async def test_an_answer_that_says_neither_leaves_it_unknown_and_is_asked_for_a_few_times_only() -> None:
    async with asking(replying(response(202), response(500), response(302)), pauses=(0.0, 0.0)) as (gate, origin):
        await in_doubt(gate)
        await until(lambda: said(gate) == {"undecided": 3})
        await until(lambda: not asked_for(gate))
        refused = await gate.admit(gate.routes[0], REQUEST)

    assert isinstance(refused, KeyRefusal)
    assert refused.reason == "outcome_unknown"
    assert len(origin.requests) == 3


async def test_a_later_answer_settles_it() -> None:
    async with asking(replying(response(202), response(200)), pauses=(0.0,)) as (gate, _):
        await in_doubt(gate)
        await until(lambda: said(gate) == {"undecided": 1, "applied": 1})


async def test_a_request_that_finds_the_key_unknown_has_the_service_asked_again() -> None:
    async with asking(replying(response(202), response(200))) as (gate, _):
        await in_doubt(gate)
        await until(lambda: said(gate) == {"undecided": 1})
        assert isinstance(await gate.admit(gate.routes[0], REQUEST), KeyRefusal)
        await until(lambda: said(gate) == {"undecided": 1, "applied": 1})
        assert isinstance(await gate.admit(gate.routes[0], REQUEST), KeyReplay)


async def test_a_service_that_can_not_be_asked_is_no_answer() -> None:
    gate = key_gate(keyed_route(probe=PROBE))
    probes = KeyProbes(gate, lambda: None, pauses=(0.0,))
    gate.on_unknown = probes.ask
    await in_doubt(gate)
    await until(lambda: said(gate) == {"failed": 2})
    await probes.close()
    await gate.close()


async def test_what_was_settled_in_the_meantime_stays_so() -> None:
    later = replace(PROBE, after=0.2)
    async with asking(replying(response(404)), probe=later, **REEXECUTE_OK) as (gate, _):
        await in_doubt(gate)
        run = await gate.admit(gate.routes[0], REQUEST)
        assert isinstance(run, KeyRun)
        await run.complete(answer_of(201, b"201 Created", b"", b"done"))
        await until(lambda: said(gate) == {"settled": 1})
        assert isinstance(await gate.admit(gate.routes[0], REQUEST), KeyReplay)


async def test_the_service_is_given_time_before_it_is_asked() -> None:
    slow = KeyProbe("GET", "/by-key", frozenset({200}), frozenset(), 600.0)
    async with asking(replying(response(200)), probe=slow) as (gate, origin):
        await in_doubt(gate)
        await turn(20)
        assert asked_for(gate)

    assert origin.requests == []


async def test_a_body_too_large_to_keep_is_told_by_its_status() -> None:
    async with asking(replying(response(200, b"x" * 500))) as (gate, _):
        await in_doubt(gate)
        await until(lambda: said(gate) == {"applied": 1})
        replay = await gate.admit(gate.routes[0], REQUEST)

    assert isinstance(replay, KeyReplay)
    assert replay.answer is not None
    assert (replay.answer.status, replay.answer.body) == (200, None)


async def test_no_more_keys_are_asked_for_at_a_time_than_there_is_room_for() -> None:
    slow = KeyProbe("GET", "/by-key", frozenset({200}), frozenset(), 600.0)
    gate = key_gate(keyed_route(probe=slow))
    probes = KeyProbes(gate, lambda: None)
    before = len(asyncio.all_tasks())

    for number in range(MOST_WAITING + 5):
        probes.ask(UnknownKey(gate.routes[0], number.to_bytes(32, "big"), b"k", (), gate.register.now()))
    waiting = len(asyncio.all_tasks()) - before
    await probes.close()

    assert waiting == MOST_WAITING


async def test_a_route_without_a_probe_asks_nobody() -> None:
    async with asking(replying(response(200))) as (gate, origin):
        gate.routes = (keyed_route(),)
        await in_doubt(gate)
        assert not asked_for(gate)

    assert origin.requests == []
    assert gate.probe_counts == {}


@pytest.mark.parametrize("outcome", ProbeOutcome)
def test_every_outcome_has_a_word_for_metrics(outcome: ProbeOutcome) -> None:
    assert outcome.value.replace("_", "").isalpha()
