"""The attempts of one exchange that are over, in the order of their numbers, for its record."""

from operator import attrgetter
from typing import Final

from sidecar.engine.outcome import AttemptKind
from sidecar.proxy.stream import ConnectionOwner
from sidecar.telemetry.record import AttemptRecord

_number: Final = attrgetter("number")


class AttemptTrail:
    """Made at the first attempt that is worth a note: most exchanges have none. Instants are monotonic seconds."""

    __slots__ = ("_attempts", "_began")

    def __init__(self, began: float) -> None:
        """`began`: when the exchange did."""
        self._attempts: list[AttemptRecord] = []
        self._began = began

    def add(
        self,
        number: int,
        kind: AttemptKind,
        owner: ConnectionOwner | None,
        outcome: str,
        *,
        began: float,
        ended: float,
        backoff: float,
        late: bool,
    ) -> None:
        """One attempt to `owner` is over. `backoff` in seconds; `late`: it was not answered in the usual time."""
        self._attempts.append(
            AttemptRecord(
                number=number,
                kind=kind.label,
                endpoint="" if owner is None else owner.label,
                outcome=outcome,
                seconds=max(0.0, ended - began),
                backoff=backoff,
                began=max(0.0, began - self._began),
                late=late,
            )
        )

    @property
    def attempts(self) -> tuple[AttemptRecord, ...]:
        """The first one first, whichever was over first."""
        return tuple(sorted(self._attempts, key=_number))

    def __bool__(self) -> bool:
        return bool(self._attempts)
