"""`python -m loadtest.engine_cost`: what one exchange costs in the engine alone, without any IO.

The happy path, which every request pays: construct, admit, a 200, finish. The best of several repetitions, because a
shared machine only ever makes it slower. No test asserts a time.
"""

from timeit import repeat

from sidecar.engine.destination import Destination
from sidecar.engine.outcome import Result
from sidecar.engine.policy import DestinationPolicy
from sidecar.engine.retry import RetryState

EXCHANGES = 50_000
REPETITIONS = 7
APART = 0.0005  # seconds of virtual time between two exchanges
FOREVER = float("inf")


def nanoseconds() -> float:
    """Per exchange, the loop and the moving clock taken off."""
    destination = Destination("payments", DestinationPolicy(), lambda: 0.5, 0.0)
    success = Result.SUCCESS
    now = 0.0

    def exchange() -> None:
        nonlocal now
        now += APART
        one = RetryState(destination, now, FOREVER)
        one.admit(now)
        one.on_status(now, 200, None)
        one.finish(now, success)

    def nothing() -> None:
        nonlocal now
        now += APART

    whole = min(repeat(exchange, number=EXCHANGES, repeat=REPETITIONS))
    empty = min(repeat(nothing, number=EXCHANGES, repeat=REPETITIONS))
    return (whole - empty) / EXCHANGES * 1e9


if __name__ == "__main__":
    print(f"{nanoseconds():.0f} ns per exchange: construct, admit, 200, finish")
