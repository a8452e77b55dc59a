"""The dependency's capacity: so many workers, one queue, and no idea of who is still waiting for an answer."""

import heapq
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Job = TypeVar("Job")


class Backlog(Generic[Job]):
    """First come, first served, by `workers` at once; whatever was accepted is worked on to its end.

    That is what real servers do: most never learn that the caller has gone. Every instant is in seconds on the
    caller's clock and must not fall. `service` draws how long one job takes.
    """

    def __init__(self, workers: int, limit: int, service: Callable[[], float]) -> None:
        self._free = workers
        self._limit = limit
        self._service = service
        self._running: list[tuple[float, int, Job]] = []
        self._waiting: deque[Job] = deque()
        self._begun = 0
        self._hung_since: float | None = None

    @property
    def waiting(self) -> int:
        """Jobs that no worker has taken up yet."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Jobs in the hands of a worker."""
        return len(self._running)

    def accept(self, now: float, job: Job) -> bool:
        """Take a job on. False, and nothing done, if the queue is full."""
        if self._free and self._hung_since is None:
            self._begin(now, job)
        elif len(self._waiting) < self._limit:
            self._waiting.append(job)
        else:
            return False
        return True

    def finished(self, now: float) -> list[Job]:
        """The jobs done by now, in the order they were done; each worker took up the next job at that very instant."""
        done: list[Job] = []
        if self._hung_since is not None:
            return done
        while self._running and self._running[0][0] <= now:
            at, _, job = heapq.heappop(self._running)
            self._free += 1
            done.append(job)
            if self._waiting:
                self._begin(at, self._waiting.popleft())
        return done

    def next_finish(self) -> float | None:
        """When the next job will be done; None when nothing runs or everything hangs."""
        return self._running[0][0] if self._running and self._hung_since is None else None

    def hang(self, now: float) -> None:
        """Stop all work. Jobs are still accepted."""
        if self._hung_since is None:
            self._hung_since = now

    def resume(self, now: float) -> None:
        """Go on where the work was stopped: a running job needs what it still needed then."""
        if self._hung_since is None:
            return
        pause = now - self._hung_since
        self._hung_since = None
        self._running = [(at + pause, number, job) for at, number, job in self._running]
        while self._free and self._waiting:
            self._begin(now, self._waiting.popleft())

    def _begin(self, at: float, job: Job) -> None:
        self._free -= 1
        self._begun += 1
        heapq.heappush(self._running, (at + self._service(), self._begun, job))
