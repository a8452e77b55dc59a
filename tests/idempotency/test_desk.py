"""The desk: a key is found by what the client sent, settled once, and erased by its caller."""

import pytest

from sidecar.governance.policy.contract import Redaction
from sidecar.idempotency.answer import answer_of
from sidecar.idempotency.desk import KeyDesk, KeyResolution, NoSuchKey
from sidecar.idempotency.gate import IngressGate, KeyedRequest, KeyReplay, KeyRun
from tests.fakes.key_gates import key_gate, keyed_route

FIELDS = b"Content-Type: application/json\r\nIdempotency-Key: k1\r\nAuthorization: Bearer a\r\n"
REQUEST = KeyedRequest(b"POST", b"/pay", FIELDS, b'{"a": 1}')
SCOPE = {"Authorization": ["Bearer a"]}
APPLIED = KeyResolution(applied=True, by="a.lee", why="the PSP has it", status=201, body='{"id": 7}')


async def run(gate: IngressGate) -> KeyRun:
    granted = await gate.admit(gate.routes[0], REQUEST)
    assert isinstance(granted, KeyRun)
    return granted


async def doubtful() -> tuple[IngressGate, KeyDesk, bytes]:
    gate = key_gate()
    await (await run(gate)).doubt("reset")
    desk = KeyDesk(gate)
    return gate, desk, desk.key_of("pay", "k1", SCOPE)


async def test_a_key_is_found_by_route_text_and_scope() -> None:
    _, desk, key = await doubtful()

    shown = await desk.show(key)

    assert (shown["state"], shown["route"], shown["journal_intact"]) == ("unknown", "pay", True)
    assert desk.key_of("pay", '"k1"', SCOPE) == key
    assert desk.key_of("pay", "k1", {"authorization": ["Bearer b"]}) != key


async def test_unknown_keys_are_listed() -> None:
    _, desk, key = await doubtful()

    assert [each["id"] for each in await desk.unknown()] == [key.hex()]


async def test_a_key_resolved_as_applied_is_answered_as_said() -> None:
    gate, desk, key = await doubtful()

    await desk.resolve(key, APPLIED)
    replay = await gate.admit(gate.routes[0], REQUEST)

    assert isinstance(replay, KeyReplay)
    assert replay.answer is not None
    assert (replay.status, replay.answer.body) == (201, b'{"id": 7}')


async def test_a_key_resolved_as_not_applied_is_run() -> None:
    gate, desk, key = await doubtful()

    await desk.resolve(key, KeyResolution(applied=False, by="a.lee", why="the PSP has it not"))

    await (await run(gate)).release("test")


async def test_a_key_is_resolved_once() -> None:
    _, desk, key = await doubtful()
    await desk.resolve(key, APPLIED)

    with pytest.raises(NoSuchKey, match="it is completed"):
        await desk.resolve(key, APPLIED)


async def test_who_resolved_a_key_and_why_stands_in_its_journal() -> None:
    _, desk, key = await doubtful()

    settled = await desk.resolve(key, APPLIED)

    journal = settled["journal"]
    assert isinstance(journal, list)
    last = journal[-1]
    assert (last["event"], last["by"], last["why"]) == ("resolved_applied", "a.lee", "the PSP has it")


async def test_the_answers_of_one_caller_are_erased_and_their_keys_stay_used() -> None:
    gate = key_gate()
    await (await run(gate)).complete(answer_of(201, b"201 Created", b"", b"secret"))
    desk = KeyDesk(gate)

    assert await desk.erase("pay", {"authorization": ["Bearer b"]}) == 0
    assert await desk.erase("pay", SCOPE) == 1
    assert await gate.admit(gate.routes[0], REQUEST) == KeyReplay(201, None)


async def test_an_erasure_breaks_no_chain_and_stands_in_the_journal() -> None:
    _, desk, key = await doubtful()
    settled = await desk.resolve(key, APPLIED)

    await desk.erase("pay", SCOPE)

    shown = await desk.show(key)
    before, after = settled["journal"], shown["journal"]
    assert isinstance(before, list)
    assert isinstance(after, list)
    assert shown["journal_intact"]
    assert [entry["digest"] for entry in after[:-1]] == [entry["digest"] for entry in before]
    assert after[-1]["event"] == "erased"
    assert not any(entry["by"] or entry["why"] for entry in after)


async def test_an_answer_that_comes_after_an_erasure_is_found_by_the_next_one() -> None:
    gate = key_gate()
    granted = await run(gate)
    desk = KeyDesk(gate)
    assert await desk.erase("pay", SCOPE) == 1

    await granted.complete(answer_of(201, b"201 Created", b"", b"secret"))

    assert await desk.erase("pay", SCOPE) == 1
    assert await gate.admit(gate.routes[0], REQUEST) == KeyReplay(201, None)


async def test_what_a_route_redacts_is_kept_neither_of_runs_nor_of_resolutions() -> None:
    redaction = Redaction(pointers=(("id",),), words=frozenset({"by", "why"}))
    gate = key_gate(keyed_route(redaction=redaction))
    await (await run(gate)).doubt("reset")
    desk = KeyDesk(gate)
    key = desk.key_of("pay", "k1", SCOPE)

    settled = await desk.resolve(key, APPLIED)
    replay = await gate.admit(gate.routes[0], REQUEST)

    assert isinstance(replay, KeyReplay)
    assert replay.answer is not None
    assert replay.answer.body == b'{"id": "[redacted]"}'
    journal = settled["journal"]
    assert isinstance(journal, list)
    assert (journal[-1]["by"], journal[-1]["why"]) == ("[redacted]", "[redacted]")
    assert settled["journal_intact"]


async def test_what_is_not_known_is_said() -> None:
    desk = KeyDesk(key_gate())

    with pytest.raises(NoSuchKey, match="nothing is known"):
        await desk.show(b"k" * 32)
    with pytest.raises(NoSuchKey, match="called 'other'"):
        desk.key_of("other", "k1", SCOPE)
