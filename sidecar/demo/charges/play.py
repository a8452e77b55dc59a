"""The sizes of the play, and what becomes of each answer: the same for both sides, from one seed."""

from dataclasses import dataclass
from enum import Enum
from random import Random


class AnswerFate(Enum):
    """The end of the answer to a request, after its order was charged."""

    GIVEN = "given"
    LOST = "lost"
    """The connection dies."""
    LATE = "late"
    """It comes when the client has given the try up."""


@dataclass(frozen=True, slots=True)
class ChargePlay:
    """Rates are orders per second, times in seconds, shares between 0 and 1.

    A try takes at most `patience`; the n-th is followed by a pause of n times `backoff`.
    """

    seconds: float
    rate: float = 20.0
    lost: float = 0.2
    late: float = 0.1
    work: float = 0.02
    late_work: float = 1.0
    tries: int = 8
    patience: float = 0.5
    backoff: float = 0.15

    def fate(self, seed: int, order: str, arrival: int) -> AnswerFate:
        """Of the answer to the `arrival`-th request for an order, counted from 1."""
        chance = Random(f"{seed} {order} {arrival}").random()
        if chance < self.lost:
            return AnswerFate.LOST
        return AnswerFate.LATE if chance < self.lost + self.late else AnswerFate.GIVEN


FULL_CHARGES = ChargePlay(15.0)
FAST_CHARGES = ChargePlay(4.0)
"""For continuous integration."""
