"""A fleet in virtual time: several engines in front of one dependency of finite capacity.

The dependency works on a request to its end even when nobody waits for the answer any more; that is what keeps an
outage alive after its cause has gone. The hosts do what a proxy does: timers at the per-attempt timeout and the
deadline, back-off, and the next original in turn as soon as there is a place.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from random import Random
from statistics import median

from sidecar.engine.destination import Destination
from sidecar.engine.outcome import Result, result_of
from sidecar.engine.policy import DestinationPolicy
from sidecar.engine.retry import Admission, RetryState
from sidecar.engine.verdict import Await, Deliver, Refusal, Retry, Verdict

Then = Callable[[], None]


class Agenda:
    """What is to happen, in the order of its time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._queue: list[tuple[float, int, Then]] = []
        self._order = count()

    def at(self, time: float, then: Then) -> None:
        heappush(self._queue, (max(time, self.now), next(self._order), then))

    def run(self, until: float) -> None:
        while self._queue and self._queue[0][0] <= until:
            self.now, _, then = heappop(self._queue)
            then()
        self.now = until


@dataclass
class Trouble:
    """What is wrong with the dependency from `begins` to `ends`: its speed, or the status it fails with at once."""

    begins: float
    ends: float
    speed: float = 1.0
    status: int | None = None


class Dependency:
    """`workers` at a time, first come first served; `service` draws the seconds one request takes at full speed."""

    def __init__(
        self,
        agenda: Agenda,
        workers: int,
        service: Callable[[], float],
        status: Callable[[], int],
        trouble: Trouble | None,
    ) -> None:
        self._agenda = agenda
        self._idle = workers
        self._service = service
        self._status = status
        self._trouble = trouble
        self._queue: deque[Callable[[int], None]] = deque()

    def takes(self, service: Callable[[], float]) -> None:
        """Draw the seconds of a request otherwise from now on."""
        self._service = service

    def ask(self, answer: Callable[[int], None]) -> None:
        trouble = self._trouble
        now = self._agenda.now
        if trouble is not None and trouble.status is not None and trouble.begins <= now < trouble.ends:
            status = trouble.status
            self._agenda.at(now + 0.002, lambda: answer(status))
        elif self._idle:
            self._idle -= 1
            self._work(answer)
        else:
            self._queue.append(answer)

    def _work(self, answer: Callable[[int], None]) -> None:
        def done() -> None:
            if self._queue:
                self._work(self._queue.popleft())
            else:
                self._idle += 1
            answer(self._status())

        self._agenda.at(self._finished(self._service()), done)

    def _finished(self, work: float) -> float:
        """When `work` begun now is done, at the speed that holds at each moment."""
        now, trouble = self._agenda.now, self._trouble
        if trouble is None or trouble.status is not None or now >= trouble.ends or now + work <= trouble.begins:
            return now + work
        work -= max(0.0, trouble.begins - now)
        inside = trouble.ends - max(now, trouble.begins)
        if work < inside * trouble.speed:
            return max(now, trouble.begins) + work / trouble.speed
        return trouble.ends + work - inside * trouble.speed


class Call:
    """One original as a proxy carries it."""

    def __init__(self, fleet: "Fleet", destination: Destination) -> None:
        self.fleet = fleet
        self.began = fleet.agenda.now
        self.exchange = RetryState(destination, self.began, float("inf"))
        self.attempt = 0  # which one is listened to
        self.elder = -1  # and which one beside it: a late one whose retry is under way
        self.waited = False
        self.sent_at: float | None = None
        self.ended: float | None = None
        self.status = 0
        self.refusal: Refusal | None = None
        fleet.of_exchange[self.exchange] = self
        if fleet.patience is not None:
            fleet.agenda.at(self.began + fleet.patience(fleet.random), self.leave)
        self.admit()

    def leave(self) -> None:
        """The caller waits no longer."""
        if self.ended is None:
            self.exchange.abandon(self.fleet.agenda.now)
            self.end(0, Result.ABANDONED, None)
            self.fleet.wake(self.exchange.destination)

    def admit(self) -> None:
        self.heed_admission(self.exchange.admit(self.fleet.agenda.now))
        if self.ended is None and self.exchange.attempts == 0:
            self.fleet.wake(self.exchange.destination)

    def heed_admission(self, admission: Admission | Refusal) -> None:
        fleet, exchange = self.fleet, self.exchange
        if admission is Admission.GO:
            self.send()
        elif admission is Admission.WAIT:
            self.waited = True
            attempt = self.attempt
            fleet.agenda.at(exchange.wake_at, lambda: self.look_up(attempt))
        else:
            assert isinstance(admission, Refusal)
            self.end(503, Result.REFUSED, admission)

    def look_up(self, attempt: int) -> None:
        if self.ended is None and self.attempt == attempt:
            self.heed_admission(self.exchange.wake(self.fleet.agenda.now))
            self.fleet.wake(self.exchange.destination)

    def send(self) -> None:
        fleet, exchange = self.fleet, self.exchange
        self.attempt += 1
        attempt = self.attempt
        fleet.sent += 1
        if self.sent_at is None:
            self.sent_at = fleet.agenda.now
        fleet.dependency.ask(lambda status: self.answered(attempt, status))
        fleet.agenda.at(exchange.late_at, lambda: self.late(attempt))
        fleet.agenda.at(exchange.deadline, lambda: self.too_late(attempt))

    def answered(self, attempt: int, status: int) -> None:
        now = self.fleet.agenda.now
        if self.ended is not None:
            return
        if attempt == self.elder:
            self.elder = -1
            verdict = self.exchange.on_elder_status(now, status, None)
            if isinstance(verdict, Await):
                self.fleet.wake(self.exchange.destination)
            else:
                self.heed(verdict, status)
        elif self.attempt == attempt:
            self.heed(self.exchange.on_status(now, status, None), status)

    def late(self, attempt: int) -> None:
        now = self.fleet.agenda.now
        if self.ended is None and self.attempt == attempt and now < self.exchange.deadline:
            if now < self.exchange.late_at:
                self.fleet.agenda.at(self.exchange.late_at, lambda: self.late(attempt))
                return
            verdict = self.exchange.on_late(now)
            if isinstance(verdict, Retry):
                self.elder = attempt
                self.heed(verdict, 504)

    def too_late(self, attempt: int) -> None:
        if self.ended is None and attempt in {self.attempt, self.elder}:
            self.heed(self.exchange.on_deadline(self.fleet.agenda.now, sent=True), 504)

    def heed(self, verdict: Verdict, status: int) -> None:
        agenda = self.fleet.agenda
        if isinstance(verdict, Await):
            self.attempt, self.elder = self.elder, -1
        elif isinstance(verdict, Retry):
            self.attempt += 1  # the last one is not listened to any more
            self.status = status
            attempt = self.attempt
            agenda.at(agenda.now + verdict.delay, lambda: self.depart(attempt))
        else:
            assert isinstance(verdict, Deliver)
            self.end(status, Result.FAULT if status == 504 else result_of(status), verdict.refusal)
        self.fleet.wake(self.exchange.destination)

    def depart(self, attempt: int) -> None:
        if self.ended is not None or self.attempt != attempt:
            return
        admission = self.exchange.depart(self.fleet.agenda.now)
        if admission is Admission.GO:
            self.send()
        elif self.elder >= 0:
            self.attempt, self.elder = self.elder, -1
        else:
            assert isinstance(admission, Refusal)
            self.end(self.status, Result.SERVER_ERROR, admission)
            self.fleet.wake(self.exchange.destination)

    def end(self, status: int, result: Result, refusal: Refusal | None) -> None:
        now = self.fleet.agenda.now
        self.attempt += 1
        self.ended, self.status, self.refusal = now, status, refusal
        self.exchange.finish(now, result)
        del self.fleet.of_exchange[self.exchange]


@dataclass
class Load:
    """Originals per second at the whole fleet, arriving at random, from 0 to `until` seconds."""

    rate: float
    until: float


@dataclass
class Fleet:
    """`proxies` engines, one dependency, and every call that was made."""

    policy: DestinationPolicy
    workers: int
    service: Callable[[Random], float]
    load: Load
    trouble: Trouble | None = None
    proxies: int = 1
    seed: int = 1
    failing: float = 0.0  # the share of the answers that are 503, at any time
    patience: Callable[[Random], float] | None = None  # draws the seconds after which a caller leaves; None: it stays
    calls: list[Call] = field(default_factory=list)
    sent: int = 0

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.agenda = Agenda()
        self.dependency = Dependency(
            self.agenda,
            self.workers,
            lambda: self.service(self.random),
            lambda: 503 if self.random.random() < self.failing else 200,
            self.trouble,
        )
        self.destinations = [
            Destination(f"proxy-{n}", self.policy, self.random.random, 0.0) for n in range(self.proxies)
        ]
        self.of_exchange: dict[RetryState, Call] = {}

    def run(self) -> "Fleet":
        self._arrive()
        self.agenda.run(self.load.until + self.policy.timeout + 1.0)
        return self

    def wake(self, destination: Destination) -> None:
        while (exchange := destination.next_waiter(self.agenda.now)) is not None:
            assert isinstance(exchange, RetryState)
            call = self.of_exchange[exchange]
            call.attempt += 1
            call.admit()
        if (oldest := destination.next_to_rearm()) is not None:
            assert isinstance(oldest, RetryState)
            call, attempt = self.of_exchange[oldest], self.of_exchange[oldest].attempt
            self.agenda.at(oldest.wake_at + 0.001, lambda: call.look_up(attempt))

    def begun(self, begins: float, ends: float) -> Iterator[Call]:
        return (call for call in self.calls if begins <= call.began < ends)

    @property
    def amplification(self) -> float:
        """Attempts at the dependency per call."""
        return self.sent / len(self.calls)

    def success(self, begins: float, ends: float) -> float:
        """The share of the calls begun in that time that were answered with 200."""
        calls = list(self.begun(begins, ends))
        return sum(call.status == 200 for call in calls) / len(calls)

    def median_seconds(self, begins: float, ends: float) -> float:
        """How long the calls begun in that time that were answered with 200 took."""
        return median(call.ended - call.began for call in self.begun(begins, ends) if call.status == 200 and call.ended)

    def held_back(self, begins: float, ends: float) -> int:
        """How many calls begun in that time waited for a place or were refused."""
        return sum(call.waited or call.refusal is not None for call in self.begun(begins, ends))

    def _arrive(self) -> None:
        now = self.agenda.now
        if now >= self.load.until:
            return
        if now > 0:
            self.calls.append(Call(self, self.random.choice(self.destinations)))
        self.agenda.at(now + self.random.expovariate(self.load.rate), self._arrive)
