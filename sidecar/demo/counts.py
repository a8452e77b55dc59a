"""Counts by slots of time, and their encoding from a child process to the process that shows them.

A message is one line of JSON. A slot is sent as its whole content whenever it changed, so a later line corrects an
earlier one, and a reader needs no state of the writer's.
"""

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from typing import Generic, TypeVar

SLOT = 0.25
"""Seconds."""
SLOTS_PER_SECOND = 4


@dataclass(slots=True)
class Arrivals:
    """Counts of the dependency in one slot."""

    arrived: int = 0  # attempts read
    repeated: int = 0  # of these, attempts of a request that had been here before
    served: int = 0  # work done for a caller who still waited
    wasted: int = 0  # work done for a caller who had gone
    failed: int = 0  # 503 because the phase says so
    overflowed: int = 0  # 503 because the queue was full


@dataclass(slots=True)
class Requests:
    """Counts of the caller in one slot. The first two belong to the slot in which the request was issued."""

    issued: int = 0
    succeeded: int = 0
    ended_well: int = 0  # success known in this slot
    ended_badly: int = 0  # failure known in this slot


Row = TypeVar("Row", Arrivals, Requests)


class Slots(Generic[Row]):
    """Rows by slot number, with a memory of which changed since they were last told."""

    def __init__(self, row: Callable[[], Row]) -> None:
        self._row: Callable[[], Row] = row
        self._rows: dict[int, Row] = {}
        self._changed: set[int] = set()

    def at(self, seconds: float) -> Row:
        """The row to count into, `seconds` after the start; what came before the start is counted in slot -1."""
        number = int(seconds / SLOT) if seconds >= 0 else -1
        self._changed.add(number)
        row = self._rows.get(number)
        if row is None:
            row = self._rows[number] = self._row()
        return row

    def changes(self) -> dict[str, list[int]]:
        """Every row that changed since the last call, as numbers in the order of its fields."""
        told = {str(number): list(astuple(self._rows[number])) for number in sorted(self._changed)}
        self._changed.clear()
        return told


def tell(event: str, **fields: object) -> None:
    """Send one message to the parent process."""
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def between(rows: dict[int, Row], first: int, end: int) -> Iterable[Row]:
    """The rows of the slots first…end-1 that hold anything."""
    return (rows[number] for number in range(first, end) if number in rows)
