"""The gate of a snapshot: the store that its documents name, opened when it can be."""

import base64
from pathlib import Path

import pytest

from sidecar.app.key_gate import GateKeeping, UndeclaredLog, gate_of, seal_of, store_of
from sidecar.governance.policy.contract import KeyStore
from sidecar.idempotency.gate import KeyedRequest, KeyRefusal
from sidecar.idempotency.store import UnfitStore
from sidecar.idempotency.stores.memory import MemoryStore
from sidecar.idempotency.stores.postgres import PostgresStore
from sidecar.idempotency.stores.redis import RedisStore
from sidecar.idempotency.stores.sqlite import SqliteStore
from tests.fakes.key_gates import BrokenStore, key_gate


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
