"""Whether the cores run at their own speed just now, or somebody else slows them.

On a shared machine the same instructions take up to 1.6 times as long for seconds on end, without any sign in the
kernel's accounts: another guest has the other half of the core. Ratios survive that only if both sides had the same.
A piece of work that is always the same tells. Which measurements are repeated is decided by it, never by their result.
"""

from time import perf_counter, sleep, thread_time

from loadtest.cores import pinned

WORK = 40_000  # additions: about half a millisecond
TRIES = 8  # the quickest counts: a single interrupt is not what is looked for
SLOWED = 1.1  # times the best that was ever seen, to begin with; more is likely to make a measurement useless
PATIENCE = 1.5  # seconds to wait for quiet before a measurement
PAUSE = 0.05


class Yardstick:
    """Compares the cores with the best they have shown so far."""

    def __init__(self, cores: set[int], first_look: float) -> None:
        """Look at the cores for so many seconds, to know how fast they can be."""
        self._best = dict.fromkeys(cores, float("inf"))
        until = perf_counter() + first_look
        while perf_counter() < until:
            self.slowness()
            sleep(PAUSE)

    def slowness(self) -> float:
        """How many times as long the work takes now as at best, on the slowest of the cores. At least 1."""
        worst = 1.0
        for core in self._best:
            with pinned(core):
                taken = min(_worked() for _ in range(TRIES))
            self._best[core] = min(self._best[core], taken)
            worst = max(worst, taken / self._best[core])
        return worst

    def wait(self) -> None:
        """Until the cores are quiet, but no longer than PATIENCE."""
        until = perf_counter() + PATIENCE
        while self.slowness() > SLOWED and perf_counter() < until:
            sleep(PAUSE)


def _worked() -> float:
    # Time of this thread only: an idle proxy that wakes up on the core is not a slow core.
    began = thread_time()
    sum(range(WORK))
    return thread_time() - began
