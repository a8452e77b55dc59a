"""The gate of a snapshot: the store that its documents name, opened when it can be."""

import base64
from pathlib import Path

import pytest

from sidecar.app.key_gate import GateKeeping, KeyFile, UndeclaredLog, gate_of, seal_of, store_of
from sidecar.governance.policy.contract import KeyStore
from sidecar.idempotency.aes_gcm_seal import AesGcmSeal
from sidecar.idempotency.answer import answer_of, decode_answer, encode_answer
from sidecar.idempotency.gate import KeyedRequest, KeyOutcome, KeyRefusal, KeyReplay, KeyRun
from sidecar.idempotency.store import UnfitStore
from sidecar.idempotency.stores.memory import MemoryStore
from sidecar.idempotency.stores.postgres import PostgresStore
from sidecar.idempotency.stores.redis import RedisStore
from sidecar.idempotency.stores.sqlite import SqliteStore
from tests.fakes.key_gates import BrokenStore, key_gate
from tests.idempotency.stores.conformance import KEY

ANSWER = answer_of(201, b"201 Created", b"", b"charge 7")


def settings(kind: str, place: str = "", password: Path | None = None, key: Path | None = None) -> KeyStore:
    return KeyStore(kind, place, password, key, 1 << 20, 256 << 10, 30.0)


@pytest.mark.parametrize(
    ("kind", "place", "cls"),
    [
        ("memory", "", MemoryStore),
        ("sqlite", "/tmp/keys.db", SqliteStore),
        ("redis", "redis://localhost:1/0", RedisStore),
        ("postgres", "postgresql://a@localhost:1/b", PostgresStore),
    ],
)
async def test_each_kind_of_store_is_made(kind: str, place: str, cls: type) -> None:
    assert type(store_of(settings(kind, place))) is cls


def test_an_unreadable_password_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnfitStore, match=r"none: can not be read: No such file"):
        store_of(settings("redis", "redis://localhost:1/0", tmp_path / "none"))


def test_answers_are_encrypted_where_a_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(base64.b64encode(b"s" * 32))
    (tmp_path / "bad").write_bytes(b"short")

    assert seal_of(settings("memory")) is None
    assert seal_of(settings("memory", key=tmp_path / "key")) is not None
    with pytest.raises(UnfitStore, match="must hold 32 bytes"):
        seal_of(settings("memory", key=tmp_path / "bad"))


def test_no_routes_are_no_gate() -> None:
    assert gate_of(None) is None


async def test_a_store_that_can_not_be_opened_is_told_and_its_routes_refuse(tmp_path: Path) -> None:
    told: list[tuple[object, ...]] = []
    gate = key_gate(store=SqliteStore(tmp_path / "none" / "keys.db"))
    keeping = GateKeeping(gate, lambda *said, **_: told.append(said))

    await keeping.start()
    admitted = await gate.admit(gate.routes[0], KeyedRequest(b"POST", b"/pay", b"Idempotency-Key: a\r\n", b""))
    await keeping.stop()

    assert told == [("error", "idempotency_store_unavailable")]
    assert isinstance(admitted, KeyRefusal)
    assert admitted.reason == "store_unavailable"


async def test_a_store_that_would_lose_keys_is_refused_at_the_start() -> None:
    class Unfit(BrokenStore):
        async def open(self) -> None:
            raise UnfitStore("maxmemory-policy must be noeviction")

    with pytest.raises(UnfitStore):
        await GateKeeping(key_gate(store=Unfit()), lambda *_, **__: None).start()


def test_undeclared_requests_are_told_once_a_minute_with_their_number() -> None:
    told: list[dict[str, object]] = []
    now = [100.0]
    log = UndeclaredLog(
        lambda level, event, **fields: told.append({"level": level, "event": event, **fields}), lambda: now[0]
    )

    for _ in range(3):
        log(b"POST", b"/v1/refunds/" + b"x" * 500)
    now[0] = 159.9
    log(b"PUT", b"/a")
    now[0] = 160.0
    log(b"DELETE", b"/b")

    assert [(line["method"], line["requests"]) for line in told] == [("POST", 1), ("DELETE", 4)]
    assert len(str(told[0]["path"])) == 200
    assert (told[0]["level"], told[0]["event"]) == ("warning", "request_undeclared")


async def test_a_gate_tells_of_what_no_route_declares() -> None:
    told: list[str] = []
    gate = key_gate()
    GateKeeping(gate, lambda level, event, **fields: told.append(event))

    gate.route_of(b"GET", b"/nowhere")
    gate.route_of(b"POST", b"/nowhere?x=1")

    assert told == ["request_undeclared"]
    assert gate.undeclared == {"POST": 1}


async def test_keys_of_answers_are_followed_while_running_and_bad_ones_change_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    file, old, new = tmp_path / "key", b"o" * 32, b"n" * 32
    file.write_bytes(base64.b64encode(old))
    store = settings("memory", key=file)
    gate = key_gate(seal=seal_of(store))
    keys = KeyFile(gate, store, lambda level, event, **_: told.append(event))
    by_old = encode_answer(ANSWER, KEY, gate.seal)

    keys.follow()
    file.write_bytes(base64.b64encode(new) + b"\n" + base64.b64encode(old))
    keys.follow()
    by_new = encode_answer(ANSWER, KEY, gate.seal)
    file.write_bytes(b"nonsense")
    keys.follow()
    keys.follow()
    file.unlink()
    keys.follow()

    assert told == ["idempotency_keys_read", "idempotency_keys_refused", "idempotency_keys_refused"]
    assert decode_answer(by_old, KEY, gate.seal) == ANSWER
    assert decode_answer(by_new, KEY, AesGcmSeal(new)) == ANSWER


async def test_an_answer_whose_key_is_gone_is_told_and_its_request_is_not_run_again() -> None:
    told: list[dict[str, object]] = []
    request = KeyedRequest(b"POST", b"/pay", b"Idempotency-Key: a\r\n", b"")
    gate = key_gate(seal=AesGcmSeal(b"o" * 32))
    GateKeeping(gate, lambda level, event, **fields: told.append({"level": level, "event": event, **fields}))
    granted = await gate.admit(gate.routes[0], request)
    assert isinstance(granted, KeyRun)
    await granted.complete(ANSWER)

    gate.seal = AesGcmSeal(b"n" * 32)
    replays = [await gate.admit(gate.routes[0], request) for _ in range(3)]

    assert replays == [KeyReplay(201, None, unreadable=True)] * 3
    assert [(line["level"], line["event"], line["route"]) for line in told] == [
        ("error", "idempotency_answer_unreadable", "pay")
    ]
    assert gate.counts["pay"][KeyOutcome.UNREADABLE] == 3
    assert gate.counts["pay"][KeyOutcome.NEW] == 1
