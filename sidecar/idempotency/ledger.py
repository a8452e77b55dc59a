"""One key's life, as pure transitions: `new → in_flight → completed | released | unknown`.

A sidecar is no part of the service's transaction. After a 5xx, a reset or a crash the effect may have happened, and
only what is proven to have had none is run again. Laws, on routes whose class is at_most_once:

- between two runs of a key lies a proof that the first had no effect (a release), or the end of its retention;
- only the holder of a run's fence says how it ended;
- a run that ends after its lease has lapsed still counts: what is known is better than `unknown`;
- no clock that stands still or steps back lets a key run twice. A store's clock that steps forward ends leases early,
  which makes outcomes unknown, and retention, which is what retention means.

Nothing here reads a clock, draws a number or does IO: `register` does that.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, assert_never

from msgspec import structs

from sidecar.idempotency.journal import Journal
from sidecar.idempotency.record import TOMBSTONE, KeyRecord, KeyState


class LedgerRuling(Enum):
    """The result of an event. The first six answer a claim."""

    GRANTED = "granted"
    """The request is to be run, by the claimant."""
    REPLAY = "replay"
    IN_FLIGHT = "in_flight"
    KEY_REUSED = "key_reused"
    OUTCOME_UNKNOWN = "outcome_unknown"
    KEY_EXPIRED = "key_expired"
    DONE = "done"
    """The transition was made, or had been made before."""
    SUPERSEDED = "superseded"
    """The key has passed into other hands, or its outcome was settled otherwise: nothing was changed."""


@dataclass(frozen=True, slots=True)
class KeyClaim:
    """A request asks to be run. `fence` is drawn for it; the same claim may be repeated when its answer was lost.

    `takes_over`: the route's class is reexecute_ok, so that an unknown outcome is run again.
    """

    fence: bytes
    fingerprint: bytes
    lease: float
    retention: float
    rejects: bool = False
    takes_over: bool = False
    route: str = ""
    scope: bytes = b""


@dataclass(frozen=True, slots=True)
class Renew:
    """The holder is still at it. `held` is the record it was granted or has renewed last."""

    held: KeyRecord


@dataclass(frozen=True, slots=True)
class Complete:
    """The service has answered for good: `answer` is replayed from now on."""

    held: KeyRecord
    status: int
    answer: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Release:
    """It is proven that nothing was done."""

    held: KeyRecord
    why: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """It may or may not have been done. `answer` is the error that the caller got, b"" when there was none."""

    held: KeyRecord
    why: str
    status: int = 0
    answer: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Resolve:
    """A person has found out how an unknown outcome ended, and answers for it by name.

    `salt` is random, for the journal: see `journal.Journal.with_entry`.
    """

    applied: bool
    by: str
    why: str
    status: int = 0
    answer: bytes = field(default=b"", repr=False)
    salt: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Erase:
    """The contents of the answer and the words of the journal are to go; that the key was used stays."""


Event = KeyClaim | Renew | Complete | Release | Doubt | Resolve | Erase


@dataclass(frozen=True, slots=True)
class Applied:
    """The ruling, and the record from now on, which is the one before unless `changed`."""

    ruling: LedgerRuling
    record: KeyRecord | None
    changed: bool = False


def apply(record: KeyRecord | None, event: Event, now: float) -> Applied:
    """The record that `event` leads to from `record` (None: an unknown key) at `now`, by the store's clock."""
    if record is not None:
        now = max(now, record.at)
        record = _aged(record, now)
    match event:
        case KeyClaim():
            return _claim(record, event, now)
        case Renew(held):
            return _renew(record, held, now)
        case Complete(held, status, answer):
            return _settle(record, held, now, KeyState.COMPLETED, status=status, answer=answer)
        case Release(held, why):
            return _settle(record, held, now, KeyState.RELEASED, why=why)
        case Doubt(held, why, status, answer):
            return _settle(record, held, now, KeyState.UNKNOWN, why=why, status=status, answer=answer)
        case Resolve():
            return _resolve(record, event, now)
        case Erase():
            return _erase(record, now)
        case _:
            assert_never(event)


_UNSETTLED: Final = frozenset({KeyState.IN_FLIGHT, KeyState.UNKNOWN})
"""States whose outcome the holder of the fence may still tell."""


def _aged(record: KeyRecord, now: float) -> KeyRecord | None:
    """The record as time alone has left it: nothing or a tombstone after retention, unknown after a lapsed lease."""
    if record.state is KeyState.EXPIRED:
        return record
    if now >= record.ends_at:
        return TOMBSTONE if record.rejects and record.state is not KeyState.RELEASED else None
    return record


def _claim(record: KeyRecord | None, claim: KeyClaim, now: float) -> Applied:
    if record is None:
        return _granted(KeyRecord(KeyState.RELEASED), claim, now, "claimed")
    match record.state:
        case KeyState.EXPIRED:
            return Applied(LedgerRuling.KEY_EXPIRED, record)
        case KeyState.RELEASED:
            return _granted(record, claim, now, "claimed")
        case KeyState.IN_FLIGHT if record.fence == claim.fence:
            return Applied(LedgerRuling.GRANTED, record)
        case _ if _differs(record.fingerprint, claim.fingerprint):
            return Applied(LedgerRuling.KEY_REUSED, record)
        case KeyState.COMPLETED:
            return Applied(LedgerRuling.REPLAY, record)
        case KeyState.IN_FLIGHT if not record.lapsed(now):
            return Applied(LedgerRuling.IN_FLIGHT, record)
        case KeyState.IN_FLIGHT | KeyState.UNKNOWN if claim.takes_over:
            return _granted(record, claim, now, "taken_over")
        case KeyState.IN_FLIGHT:
            lapsed_at = record.at + record.lease
            unknown = _next(record, KeyState.UNKNOWN, lapsed_at, "unknown", why="lease_lapsed")
            return Applied(LedgerRuling.OUTCOME_UNKNOWN, unknown, changed=True)
        case KeyState.UNKNOWN:
            return Applied(LedgerRuling.OUTCOME_UNKNOWN, record)
        case _:
            assert_never(record.state)


def _granted(before: KeyRecord, claim: KeyClaim, now: float, event: str) -> Applied:
    record = KeyRecord(
        KeyState.IN_FLIGHT,
        fence=claim.fence,
        at=now,
        lease=claim.lease,
        retention=claim.retention,
        rejects=claim.rejects,
        fingerprint=claim.fingerprint,
        route=claim.route,
        scope=claim.scope,
        journal=before.journal.with_entry(now, event),
    )
    return Applied(LedgerRuling.GRANTED, record, changed=True)


def _renew(record: KeyRecord | None, held: KeyRecord, now: float) -> Applied:
    record = _found(record, held)
    if record is None or record.fence != held.fence or record.state not in _UNSETTLED:
        return Applied(LedgerRuling.SUPERSEDED, record)
    # No entry in the journal: a slow request would fill it. A lapsed lease is taken up again by its own holder only.
    renewed = structs.replace(record, state=KeyState.IN_FLIGHT, at=now, revision=record.revision + 1)
    return Applied(LedgerRuling.DONE, renewed, changed=True)


def _settle(
    record: KeyRecord | None,
    held: KeyRecord,
    now: float,
    state: KeyState,
    *,
    why: str = "",
    status: int = 0,
    answer: bytes = b"",
) -> Applied:
    record = _found(record, held)
    if record is None or record.fence != held.fence:
        return Applied(LedgerRuling.SUPERSEDED, record)
    if record.state is state and record.status == status and record.answer == answer:
        return Applied(LedgerRuling.DONE, record)
    # A key that was resolved as not applied, and is run to its end all the same, has been applied.
    late = state is KeyState.COMPLETED and record.state is KeyState.RELEASED
    if record.state not in _UNSETTLED and not late:
        return Applied(LedgerRuling.SUPERSEDED, record)
    return Applied(
        LedgerRuling.DONE, _next(record, state, now, state.value, why=why, status=status, answer=answer), changed=True
    )


def _found(record: KeyRecord | None, held: KeyRecord) -> KeyRecord | None:
    """The record of the store, or the holder's where the store has lost it: a failover may forget a second."""
    return held if record is None else record


def _resolve(record: KeyRecord | None, event: Resolve, now: float) -> Applied:
    if record is None or not (record.state is KeyState.UNKNOWN or record.lapsed(now)):
        return Applied(LedgerRuling.SUPERSEDED, record)
    state = KeyState.COMPLETED if event.applied else KeyState.RELEASED
    word = "resolved_applied" if event.applied else "resolved_not_applied"
    resolved = _next(
        record, state, now, word, why=event.why, by=event.by, status=event.status, answer=event.answer, salt=event.salt
    )
    return Applied(LedgerRuling.DONE, resolved, changed=True)


def _erase(record: KeyRecord | None, now: float) -> Applied:
    if record is None or record.state is KeyState.EXPIRED:
        return Applied(LedgerRuling.DONE, record)
    journal = record.journal.redacted().with_entry(now, "erased")
    # Whose key it is, is still needed where an answer may follow: that one is to be found by the next erasure.
    scope = record.scope if record.state in _UNSETTLED else b""
    erased = structs.replace(record, answer=b"", scope=scope, journal=journal, revision=record.revision + 1)
    return Applied(LedgerRuling.DONE, erased, changed=True)


def _next(
    record: KeyRecord,
    state: KeyState,
    at: float,
    event: str,
    *,
    why: str = "",
    by: str = "",
    status: int = 0,
    answer: bytes = b"",
    salt: bytes = b"",
) -> KeyRecord:
    journal: Journal = record.journal.with_entry(at, event, status=status, by=by, why=why, salt=salt)
    return structs.replace(
        record,
        state=state,
        at=at,
        revision=record.revision + 1,
        status=status,
        answer=answer,
        journal=journal,
    )


def _differs(known: bytes, other: bytes) -> bool:
    """Whether two fingerprints are of different requests; those of different versions can not be compared."""
    return known[:1] == other[:1] and known != other
