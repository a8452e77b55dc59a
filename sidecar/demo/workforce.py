"""The capacity of one endpoint: so many workers, one queue, and no idea of who is still waiting for an answer."""

import heapq
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Job = TypeVar("Job")


class Workforce(Generic[Job]):
    """First come, first served, by `workers` at once; whatever was accepted is worked on to its end.

    That is what real servers do: most never learn that the caller has gone. The demo's dependency and the one of
    `loadtest storm` are of it; the simulator has the same in its own agenda, for its speed.

    Work is measured on a clock of its own that runs at `speed` times the caller's: a hang (0) and a brownout are
    changes of pace. Every instant is in seconds on the caller's clock and must not fall; `advance` brings all that is
    done by then, and calls `begin` for each job a worker takes up, which returns the seconds of work it is.
    """

    def __init__(self, workers: int, queue: int, begin: Callable[[Job], float], now: float) -> None:
        self._free = workers
        self._workers = workers
        self._queue = queue
        self._begin = begin
        self._now = now
        self._done_work = 0.0
        self._speed = 1.0
        self._running: list[tuple[float, int, Job]] = []
        self._waiting: deque[Job] = deque()
        self._begun = 0

    @property
    def waiting(self) -> int:
        """Jobs that no worker has taken up yet."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Jobs in the hands of a worker."""
        return len(self._running)

    def accept(self, job: Job) -> bool:
        """Take a job on at the instant of the last `advance`. False, and nothing done, if the queue is full."""
        if self._free and self._speed > 0:
            self._take_up(job, self._done_work)
        elif len(self._waiting) < self._queue:
            self._waiting.append(job)
        else:
            return False
        return True

    def advance(self, now: float) -> list[Job]:
        """The jobs done by now, in the order they were done; each worker took up the next job at that very instant."""
        self._done_work += (now - self._now) * self._speed
        self._now = now
        done: list[Job] = []
        while self._running and self._running[0][0] <= self._done_work:
            at, _, job = heapq.heappop(self._running)
            self._free += 1
            done.append(job)
            if self._waiting:
                self._take_up(self._waiting.popleft(), at)
        return done

    def next_finish(self) -> float | None:
        """When the next job will be done at this pace; None when nothing runs or everything hangs."""
        if not self._running or self._speed <= 0:
            return None
        return self._now + max(0.0, self._running[0][0] - self._done_work) / self._speed

    def pace(self, speed: float) -> None:
        """Go on at another speed from the instant of the last `advance`."""
        self._speed = speed
        while speed > 0 and self._free and self._waiting:
            self._take_up(self._waiting.popleft(), self._done_work)

    def lose(self) -> None:
        """Forget all jobs, begun or not: the process died."""
        self._running.clear()
        self._waiting.clear()
        self._free = self._workers

    def _take_up(self, job: Job, at: float) -> None:
        self._free -= 1
        self._begun += 1
        heapq.heappush(self._running, (at + self._begin(job), self._begun, job))
