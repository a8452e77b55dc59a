"""The record of one key, and its written form."""

from enum import Enum
from typing import Final

from msgspec import DecodeError, Struct, ValidationError, msgpack

from sidecar.idempotency.journal import Journal

FENCE_BYTES: Final = 16
RELEASED_SECONDS: Final = 3600.0
"""For which a released key is kept: for its journal alone, as the next claim of it is a new one."""


class KeyState(Enum):
    """The state of a key. A key without a record is new."""

    IN_FLIGHT = "in_flight"
    """The service may be running it; while its lease holds, a gate still watches it."""
    COMPLETED = "completed"
    RELEASED = "released"
    """It is proven that it had no effect: the next request with it is run."""
    UNKNOWN = "unknown"
    """It may have had its effect; no record here tells."""
    EXPIRED = "expired"
    """A tombstone: the key was used, and nothing else of it is kept."""


class KeyRecord(Struct, frozen=True, array_like=True):
    """One key. Times are seconds by the store's clock, durations seconds.

    `fence` is the 16 random bytes of its last claimant: only that one may say how it ended. `answer` is opaque here:
    what is replayed, perhaps encrypted. `revision` counts the transitions since the claim that began the record.
    """

    state: KeyState
    fence: bytes = b""
    revision: int = 0
    at: float = 0.0
    """When the state was entered, or the lease renewed."""
    lease: float = 0.0
    retention: float = 0.0
    rejects: bool = False
    """Whether a tombstone is kept when retention is over."""
    fingerprint: bytes = b""
    route: str = ""
    scope: bytes = b""
    """A digest of tenant and principal, by which answers are erased."""
    status: int = 0
    """Of the answer; 0 where there was none."""
    answer: bytes = b""
    journal: Journal = Journal()

    @property
    def version(self) -> bytes:
        """Differs between any two records a key ever had: a fence is drawn for each claim."""
        return self.fence + self.revision.to_bytes(4, "big")

    @property
    def ends_at(self) -> float:
        """When retention is over; a lease that lapsed counts from its lapse."""
        match self.state:
            case KeyState.IN_FLIGHT:
                return self.at + self.lease + self.retention
            case KeyState.RELEASED:
                return self.at + min(self.retention, RELEASED_SECONDS)
            case _:
                return self.at + self.retention

    def lapsed(self, now: float) -> bool:
        """Whether it is in flight, and its lease was not renewed in time."""
        return self.state is KeyState.IN_FLIGHT and now >= self.at + self.lease


TOMBSTONE: Final = KeyRecord(KeyState.EXPIRED)
"""All there is to know of a key whose retention is over."""

_encode = msgpack.Encoder().encode
_decode = msgpack.Decoder(KeyRecord).decode


class DamagedRecord(Exception):
    """Bytes of a store that are no record."""


def encode_record(record: KeyRecord) -> bytes:
    """The record as stores keep it; a tombstone is empty, so that only its key's 32 bytes are kept."""
    return b"" if record.state is KeyState.EXPIRED else _encode(record)


def decode_record(written: bytes) -> KeyRecord:
    """Read what `encode_record` wrote. Raises DamagedRecord."""
    if not written:
        return TOMBSTONE
    try:
        return _decode(written)
    except (DecodeError, ValidationError, UnicodeDecodeError) as error:
        raise DamagedRecord(str(error)) from None
