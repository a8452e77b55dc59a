"""The gate: its rulings in the contract's words, its counts, and what becomes of claims that may have been made."""

from msgspec.structs import replace

from sidecar.governance.documents.route_match import PathTemplate, RouteMatch
from sidecar.governance.policy.contract import IngressRoute
from sidecar.idempotency.answer import answer_of
from sidecar.idempotency.gate import IngressGate, KeyedRequest, KeyOutcome, KeyRefusal, KeyReplay, KeyRun, Unguarded
from sidecar.idempotency.record import KeyRecord
from sidecar.idempotency.store import StoreUnavailable, Swapped
from sidecar.idempotency.stores.memory import MemoryStore
from tests.fakes.key_gates import BEST_EFFORT, BrokenStore, key_gate, keyed_route
from tests.fakes.waiting import until_told

REQUEST = KeyedRequest(b"POST", b"/pay", b"Content-Type: application/json\r\nIdempotency-Key: k1\r\n", b'{"a": 1}')


async def admitted(gate: IngressGate, request: KeyedRequest = REQUEST) -> object:
    return await gate.admit(gate.routes[0], request)


async def run(gate: IngressGate) -> KeyRun:
    granted = await admitted(gate)
    assert isinstance(granted, KeyRun)
    return granted


def test_the_first_route_that_matches_counts() -> None:
    declared = IngressRoute("all", RouteMatch(path=PathTemplate.parse("/{any}")), None)
    gate = key_gate(keyed_route(), declared, keyed_route("late", "/late"))

    assert gate.route_of(b"POST", b"/pay?x=1") is gate.routes[0]
    assert gate.route_of(b"POST", b"/late") is None
    assert gate.undeclared == {}


def test_requests_with_side_effects_that_no_route_declares_are_counted_by_method() -> None:
    gate = key_gate()
    told: list[tuple[bytes, bytes]] = []
    gate.on_undeclared = lambda method, path: told.append((method, path))

    for method in (b"POST", b"POST", b"MKCOL", b"GET", b"HEAD", b"OPTIONS", b"TRACE"):
        gate.route_of(method, b"/other?x")

    assert gate.undeclared == {"POST": 2, "other": 1}
    assert told == [(b"POST", b"/other"), (b"POST", b"/other"), (b"MKCOL", b"/other")]


def test_without_routes_nothing_is_undeclared() -> None:
    gate = key_gate()
    gate.routes = ()

    assert gate.route_of(b"POST", b"/pay") is None
    assert gate.undeclared == {}


async def test_a_completed_run_is_replayed() -> None:
    gate = key_gate()
    answer = answer_of(201, b"201 Created", b"", b"x")

    assert await (await run(gate)).complete(answer)

    assert await admitted(gate) == KeyReplay(201, answer)


async def test_an_erased_answer_is_replayed_by_its_status_alone() -> None:
    gate = key_gate()
    await (await run(gate)).complete(answer_of(201, b"201 Created", b"", b"x"))
    store = gate.register.store
    (stored,) = [each async for each in store.scan(None)]
    await store.swap(stored.key, stored.record, replace_answer(stored.record))

    assert await admitted(gate) == KeyReplay(201, None)


def replace_answer(record: KeyRecord) -> KeyRecord:
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    return KeyRecord(**{**fields, "answer": b"", "revision": record.revision + 1})


async def test_a_key_that_is_rejected_after_retention_is_gone() -> None:
    now = [1000.0]
    gate = key_gate(keyed_route(retention=60.0, rejects=True), store=MemoryStore(lambda: now[0]))
    await (await run(gate)).complete(answer_of(201, b"201 Created", b"", b"x"))

    now[0] += 61.0
    refusal = await admitted(gate)

    assert isinstance(refusal, KeyRefusal)
    assert (refusal.status, refusal.reason) == (410, "key_expired")


async def test_a_key_never_stands_in_what_is_said_or_stored() -> None:
    gate = key_gate()
    request = replace(REQUEST, fields=REQUEST.fields.replace(b"k1", b"secret-key"))
    other = replace(request, body=b'{"a": 2}')

    granted, refusal = await admitted(gate, request), await admitted(gate, other)

    assert isinstance(granted, KeyRun)
    assert isinstance(refusal, KeyRefusal)
    assert "secret" not in refusal.detail
    assert not [each async for each in gate.register.store.scan(None) if b"secret" in repr(each).encode()]
    await gate.close()


class LateStore(MemoryStore):
    """Grants, and loses its answers while `loses` holds."""

    loses = True

    async def swap(self, key: bytes, expected: KeyRecord | None, record: KeyRecord) -> Swapped:
        swapped = await super().swap(key, expected, record)
        if self.loses:
            raise StoreUnavailable("the answer was lost")
        return swapped


async def test_a_claim_whose_grant_was_lost_is_withdrawn_when_the_store_is_back() -> None:
    store = LateStore()
    gate = key_gate(store=store)
    refusal = await admitted(gate)
    assert isinstance(refusal, KeyRefusal)
    assert refusal.reason == "store_unavailable"
    store.loses = False

    async def is_granted() -> bool:
        return isinstance(await admitted(gate), KeyRun)

    await until_told(is_granted)
    await gate.close()


async def test_best_effort_passes_without_the_store_and_is_counted() -> None:
    gate = key_gate(keyed_route(**BEST_EFFORT), store=BrokenStore())

    assert isinstance(await admitted(gate), Unguarded)
    assert gate.counts["pay"][KeyOutcome.UNPROTECTED] == 1
    await gate.close()


async def test_an_end_that_the_store_does_not_take_says_so() -> None:
    store = BrokenStore(swaps=1)
    gate = key_gate(store=store)

    ended = await (await run(gate)).complete(answer_of(201, b"201 Created", b"", b"x"))

    assert not ended
    assert gate.counts["pay"][KeyOutcome.UNSETTLED] == 1
    await gate.close()
