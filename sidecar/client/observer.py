"""Events of calls for a program that wants to hear of them. Counts are read from the engine instead."""

from typing import Protocol


class CallObserver(Protocol):
    """Hears of attempts and calls, in the thread or task that makes them. What it raises is the caller's to see."""

    def on_attempt(self, destination: str, call: int, number: int, began: float) -> None:
        """Attempt `number` of a call begins. `call` tells calls apart; `began` is monotonic seconds."""

    def on_outcome(self, destination: str, call: int, number: int, outcome: str, seconds: float) -> None:
        """It ended: `outcome` is a status, a fault's word, `success` or `called_off`; `seconds` is how long it took."""

    def on_end(self, destination: str, call: int, attempts: int, refusal: str | None) -> None:
        """The call is over, after so many attempts. `refusal`: why a wanted retry was not made, or None."""
