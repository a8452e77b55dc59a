"""The conditions under which a call is safe to repeat."""

import math
from typing import Self

from msgspec import Struct

from sidecar.client.dialect import USUAL_DIALECT, ClientKeyDialect
from sidecar.engine.policy import DestinationPolicy


class Safety(Struct, frozen=True):
    """A call's declaration. Nothing is safe to repeat unless it says so.

    `replayable`: the same request can be made again, which a body that is read once cannot.
    """

    idempotent: bool = False
    idempotency_key: str | None = None
    replayable: bool = True

    @classmethod
    def of(cls, *, idempotent: bool, idempotency_key: str | bool, dialect: ClientKeyDialect = USUAL_DIALECT) -> Self:
        """The declaration of a function's call. `idempotency_key` True: a random one (UUID, version 4), as it is taken.

        Raises ValueError for a key that is empty, longer than 255, or not printable ASCII.
        """
        if idempotency_key is False:
            return cls(idempotent)
        if idempotency_key is True:
            return cls(idempotent, dialect.new_key())
        if not (0 < len(idempotency_key) <= 255 and idempotency_key.isascii() and idempotency_key.isprintable()):
            raise ValueError(f"idempotency_key: must be 1 to 255 printable ASCII characters, got {idempotency_key!r}")
        return cls(idempotent, idempotency_key)

    def repeatable_until(self, policy: DestinationPolicy, now: float) -> float:
        """The last instant at which the call may be made again though it may have been executed; monotonic seconds."""
        if self.idempotent:
            return math.inf
        return now + policy.repeatable_for(b"", keyed=self.idempotency_key is not None)
