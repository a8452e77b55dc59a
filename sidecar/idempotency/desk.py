"""The operators' work on keys: look at one, list those whose outcome is unknown, settle them, erase what they hold."""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from sidecar.governance.policy.contract import IngressRoute
from sidecar.idempotency.answer import answer_of
from sidecar.idempotency.gate import IngressGate, key_of_written, scope_digest
from sidecar.idempotency.json_redaction import REDACTED
from sidecar.idempotency.ledger import Erase, LedgerRuling, Resolve
from sidecar.idempotency.record import KeyRecord, KeyState

SALT_BYTES = 16
_MOST_UNKNOWN = 1000
_MOST_LISTED = 100_000


class NoSuchKey(Exception):
    """The named key, route or record does not exist; the text says which."""


class KeyResolution(Struct, frozen=True):
    """The end of an unknown outcome. `by` is a person, `why` how they know; the answer is what retries get."""

    applied: bool
    by: str
    why: str
    status: int = 204
    content_type: str = "application/json"
    body: str = ""


class KeyDesk:
    """Works on the keys of one gate. All raise StoreUnavailable."""

    def __init__(self, gate: IngressGate, chance: Callable[[int], bytes] = os.urandom) -> None:
        """`chance` gives so many random bytes."""
        self._gate = gate
        self._chance = chance

    def key_of(self, route_name: str, written: str, scope: Mapping[str, Sequence[str]]) -> bytes:
        """The 32 bytes that a key is known by. `scope` has the values of the route's scope headers.

        Raises NoSuchKey, and MalformedKey.
        """
        route = self._route(route_name)
        values = _encoded(scope)
        return key_of_written(route, written.encode("utf-8"), values)

    async def show(self, key: bytes) -> dict[str, object]:
        """All that is known of a key but the content of its answer. Raises NoSuchKey."""
        record = await self._gate.register.read(key)
        if record is None:
            raise NoSuchKey("nothing is known of this key")
        return view_of_key(key, record, self._gate.register.now())

    async def unknown(self) -> list[dict[str, object]]:
        """Keys whose outcome is unknown, the oldest first, at most a thousand."""
        now = self._gate.register.now()
        found = await self._gate.register.unknown(_MOST_UNKNOWN)
        return [view_of_key(stored.key, stored.record, now) for stored in found]

    async def listed(self, route_name: str) -> list[dict[str, object]]:
        """Every key of a route whose run had, or may have had, its effect: id, state and since when.

        Raises NoSuchKey for a route that is none, or that has more keys than are listed.
        """
        route = self._route(route_name)
        register = self._gate.register
        now = register.now()
        found: list[dict[str, object]] = []
        async for stored in register.store.scan(None):
            record = stored.record
            if record.route != route.name or record.state in (KeyState.RELEASED, KeyState.EXPIRED):
                continue
            if len(found) == _MOST_LISTED:
                raise NoSuchKey(f"{route_name} has more than {_MOST_LISTED} keys")
            state = "unknown" if record.lapsed(now) else record.state.value
            found.append({"id": stored.key.hex(), "state": state, "since": _instant(record.at)})
        return found

    async def resolve(self, key: bytes, resolution: KeyResolution) -> dict[str, object]:
        """Settle an unknown outcome. Raises NoSuchKey where it is not unknown."""
        found = await self._gate.register.read(key)
        route = None if found is None else self._named(found.route)
        hidden = frozenset() if route is None or route.contract is None else route.contract.redaction.words
        answer = b""
        if resolution.applied:
            line = f"{resolution.status} Resolved".encode("ascii")
            fields = f"Content-Type: {resolution.content_type}\r\n".encode("latin-1") if resolution.body else b""
            kept = answer_of(resolution.status, line, fields, resolution.body.encode())
            answer = self._gate.kept(route, kept, key)
        status = resolution.status if resolution.applied else 0
        event = Resolve(
            resolution.applied,
            REDACTED if "by" in hidden else resolution.by,
            REDACTED if "why" in hidden else resolution.why,
            status,
            answer,
            self._chance(SALT_BYTES),
        )
        applied = await self._gate.register.apply(key, event)
        if applied.ruling is not LedgerRuling.DONE or applied.record is None:
            state = "nothing is known of it" if applied.record is None else f"it is {applied.record.state.value}"
            raise NoSuchKey(f"the outcome of this key is not unknown: {state}")
        return view_of_key(key, applied.record, self._gate.register.now())

    async def erase(self, route_name: str, scope: Mapping[str, Sequence[str]]) -> int:
        """Let go of the contents of every answer of one caller; that its keys were used stays. How many there were.

        Raises NoSuchKey for a route that is none.
        """
        route = self._route(route_name)
        assert route.contract is not None
        wanted = scope_digest(route.contract, _encoded(scope))
        found = [stored.key async for stored in self._gate.register.store.scan(wanted)]
        for key in found:
            await self._gate.register.apply(key, Erase())
        return len(found)

    def _route(self, name: str) -> IngressRoute:
        route = self._named(name)
        if route is None:
            raise NoSuchKey(f"no route with a contract is called {name!r}")
        return route

    def _named(self, name: str) -> IngressRoute | None:
        return next((route for route in self._gate.routes if route.name == name and route.contract is not None), None)


def view_of_key(key: bytes, record: KeyRecord, now: float) -> dict[str, object]:
    """A record as JSON: without its answer, and without what it was hashed from, which is not known."""
    return {
        "id": key.hex(),
        "state": "unknown" if record.lapsed(now) else record.state.value,
        "route": record.route,
        "since": _instant(record.at),
        "kept_until": _instant(record.ends_at),
        "after_retention": "reject" if record.rejects else "new",
        "status": record.status or None,
        "answer_bytes": len(record.answer),
        "journal_intact": record.journal.intact,
        "journal": [
            {
                "at": _instant(entry.at),
                "event": entry.event,
                "status": entry.status or None,
                "by": entry.by or None,
                "why": entry.why or None,
                "digest": entry.digest.hex(),
            }
            for entry in record.journal.entries
        ],
    }


def _encoded(scope: Mapping[str, Sequence[str]]) -> dict[bytes, list[bytes]]:
    return {
        name.lower().encode("latin-1", "replace"): [value.encode("latin-1", "replace") for value in values]
        for name, values in scope.items()
    }


def _instant(at: float) -> str | None:
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return None
