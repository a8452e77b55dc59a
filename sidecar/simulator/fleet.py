"""The fleet itself: pods that call, services that work, and requests on their way between them.

A service works on a request to its end even when its caller has left: that is what keeps an outage
alive after its cause has gone. The workers of each of its endpoints stand behind one queue, as if a load balancer there
were perfect; a request that waits for a service further down holds no worker.
"""

import gc
import math
from array import array
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Final, Self

from sidecar.engine.destination import Destination
from sidecar.engine.endpoint import HealthRecord, P2CBalancer
from sidecar.engine.outcome import Fault, Result, result_of
from sidecar.engine.policy import DestinationPolicy
from sidecar.engine.retry import Admission, RetryState
from sidecar.engine.verdict import Await, Deliver, Refusal, Retry, Verdict
from sidecar.simulator.agenda import TICK, Agenda, Lane
from sidecar.simulator.models import Cache, Pace, Slowness, draw, slow_draws
from sidecar.simulator.scenario import Scenario, Service, Trouble
from sidecar.simulator.ungoverned import EndlessAllowance, EndlessBudget, FixedLateness, ungoverned

SLOT: Final = 0.25
"""Seconds of one point of every curve."""
FAST: Final = 0.001
"""Seconds in which a service that does no work answers, or refuses a connection."""
CALLERS_WITHIN: Final = 0.02
"""Seconds in which those who ask again and again begin."""
CALLERS_PAUSE: Final = 0.25
"""Seconds until one of them asks again who was not answered well."""
AFTER: Final = 0.5
"""Seconds that a run goes on after the last deadline."""
PROGRESS: Final = 1.0
"""Seconds of virtual time between two words about how far it is."""

_GO: Final = Admission.GO
_WAIT: Final = Admission.WAIT
_OK: Final = 200
_FOREVER: Final = math.inf
_NO_TICKET: Final = -1
_ABANDONED: Final = Result.ABANDONED
_FAULT: Final = Result.FAULT
_SLOWNESS: Final = frozenset({"hang", "brownout", "cold"})
_ANSWERS: Final = frozenset({"error", "dead"})
_FAULTS: Final = frozenset({502, 504})
"""The statuses that the proxy gives where there was no answer: no service of a scenario answers so itself."""


class Curve:
    """Counts per slot of SLOT seconds."""

    __slots__ = ("slots",)

    def __init__(self, seconds: float) -> None:
        self.slots = array("L", bytes(8 * (math.ceil(seconds / SLOT) + 1)))

    def add(self, now: float) -> None:
        """One more at this instant."""
        self.slots[int(now / SLOT)] += 1

    def total(self) -> int:
        """All of them."""
        return sum(self.slots)


class SimulatedEndpoint:
    """One address of a service: its own workers, queue, cache and troubles."""

    __slots__ = (
        "cache",
        "changes",
        "draw",
        "idle",
        "lost_caches",
        "pace",
        "queue",
        "slow_draw",
        "slow_share",
        "troubles",
        "worked",
    )

    def __init__(self, service: Service, random: Random, troubles: Sequence[Trouble]) -> None:
        self.draw = draw(service.spread, service.service_time, random)
        self.cache = Cache(service.keys, service.miss, self.draw, random)
        if service.keys:
            self.draw = self.cache.draw
        self.pace = Pace(
            Slowness(one.begins, one.ends, one.speed, 1.0 if one.kind == "cold" else one.speed)
            for one in troubles
            if one.kind in _SLOWNESS
        )
        self.slow_share = 0.0
        self.slow_draw = self.draw
        self.changes = [
            change for one in troubles if one.kind == "slow" for change in slow_draws(one, service.spread, random)
        ]
        """Of the two, from when on."""
        self.lost_caches = [trouble.begins for trouble in troubles if trouble.kind == "forget"]
        self.troubles = [one for one in troubles if one.kind in _ANSWERS]
        self.idle = service.workers // service.endpoints
        self.queue: deque[tuple[Call, int]] = deque()
        self.worked: Callable[[Call, int], None]
        """A worker has done with that attempt."""

    def work(self, call: "Call") -> float:
        """Seconds of work. Which requests are slow does not depend on how often they are tried."""
        return self.draw() if call.dice >= self.slow_share else self.slow_draw()


class EndpointHealth(HealthRecord):
    """The state of one endpoint in one pod's sidecar."""

    __slots__ = ("endpoint",)

    def __init__(self, endpoint: SimulatedEndpoint) -> None:
        super().__init__()
        self.endpoint = endpoint


class Pod:
    """One pod of a service, with what its sidecar knows of each destination."""

    __slots__ = ("backlog", "choices", "destinations", "down", "epoch")

    def __init__(self, destinations: list[Destination], choices: list[P2CBalancer[EndpointHealth] | None]) -> None:
        self.destinations = destinations
        self.choices = choices
        """Of endpoints, by destination; None where there is nothing to choose."""
        self.epoch = 0
        """The number of restarts: what began earlier is lost."""
        self.down: Trouble | None = None
        self.backlog = 0


class Hop:
    """The calls of one service's pods to one other service."""

    __slots__ = ("callee", "index", "policy", "requests", "share", "slow", "unsafe")

    def __init__(self, callee: "SimulatedService", index: int, share: float, unsafe: float) -> None:
        self.callee = callee
        self.index = index
        self.share = share
        self.unsafe = unsafe
        self.policy: DestinationPolicy
        self.slow: Lane
        self.requests: Curve
        """Requests that were sent at least once, by when they first were."""


class SimulatedService:
    """One service: its pods, its workers, its queue, and what it was asked and answered."""

    __slots__ = (
        "answers",
        "attempts",
        "begun",
        "bursts",
        "endpoints",
        "good",
        "hops",
        "is_uneven",
        "leaving",
        "longest_queue",
        "pods",
        "service",
        "stream",
        "troubles",
        "wasted",
    )

    def __init__(self, service: Service, random: Random, troubles: Sequence[Trouble], seconds: float) -> None:
        self.service = service
        self.stream = service.rate * service.pods
        """Requests per second from outside, of all its pods."""
        self.endpoints = [
            SimulatedEndpoint(service, random, [one for one in troubles if one.endpoint in {None, number}])
            for number in range(service.endpoints)
        ]
        self.troubles = [one for one in troubles if one.kind == "restart"]
        self.bursts = [one for one in troubles if one.kind == "burst"]
        self.is_uneven = any(endpoint.changes for endpoint in self.endpoints)
        self.longest_queue = 0
        self.pods: list[Pod] = []
        self.hops: list[Hop] = []
        self.leaving: Lane | None = None
        self.attempts = Curve(seconds)
        self.answers = 0
        self.wasted = 0
        """Answers that came after the caller had left."""
        self.begun = Curve(seconds)
        """Requests from outside, by when they came."""
        self.good = Curve(seconds)
        """Those of them that were answered well, by when they came."""


class Job:
    """A request that a pod works on by calling others, one after the other.

    From outside if it has no `inbound`; its `ticket` is then who asks again, -1 if none does.
    """

    __slots__ = ("began", "epoch", "inbound", "outbound", "over", "pod", "simulated", "step", "ticket")

    def __init__(self, simulated: SimulatedService, pod: Pod, now: float, inbound: "Call | None", ticket: int) -> None:
        self.simulated = simulated
        self.pod = pod
        self.epoch = pod.epoch
        self.began = now
        self.inbound = inbound
        self.ticket = ticket
        self.outbound: Call | None = None
        self.step = 0
        self.over = False


class Call(RetryState):
    """One call of one pod: its `RetryState`, and the job that it is made for."""

    __slots__ = (
        "address",
        "dice",
        "elder_address",
        "elder_ticket",
        "ended",
        "epoch",
        "hop",
        "job",
        "kept",
        "refusal",
        "ticket",
        "tried",
    )

    def __init__(self, hop: Hop, job: Job, now: float, repeatable_until: float) -> None:
        super().__init__(job.pod.destinations[hop.index], now, repeatable_until)
        self.hop = hop
        self.job = job
        self.dice = 1.0
        """From 0 to 1: which requests are slow, where some are."""
        self.ticket = 0
        """The number of the attempt that is listened to; a change voids all that was put down for the last one."""
        self.ended = False
        self.elder_ticket = _NO_TICKET
        """Of the late attempt that goes on beside its retry."""
        self.elder_address: EndpointHealth | None = None
        self.address: EndpointHealth | None = None
        """The address of the attempt in flight, if there was a choice."""
        self.tried: tuple[EndpointHealth, ...] = ()
        self.kept = 0
        """The status that is delivered if the retry may not leave after all."""
        self.refusal: Refusal | None = None
        """The reason why the attempt in flight, which is late, has no retry beside it."""


class Fleet:
    """One run of a scenario. `policy` names the policy of a caller towards a callee.

    `governed` False takes budget, breaker and limit away. `words` hears how far it is, as a share from 0 to 1.
    """

    def __init__(
        self,
        scenario: Scenario,
        policy: Callable[[str, str], DestinationPolicy],
        *,
        governed: bool = True,
        words: Callable[[float], None] | None = None,
    ) -> None:
        self.scenario = scenario
        self.latencies = array("d")
        """Seconds, of the good answers to requests from outside."""
        self.refusals: Counter[Refusal] = Counter()
        """Refusals, of retries and of requests, by reason."""
        self._agenda = Agenda()
        self._random = Random(scenario.seed)  # noqa: S311 - a run has to be reproducible, not secret
        self._chance = self._random.random
        self._dice = Random(scenario.seed).random  # noqa: S311
        """Apart, so that scenarios in which nothing is slow do not draw differently for it."""
        # What is compared request by request has the same arrivals and the same work, whatever the engine draws.
        alike = scenario.expects_no_harm
        self._coming = Random(scenario.seed).random if alike else self._chance  # noqa: S311
        work = Random(scenario.seed + 1) if alike else self._random  # noqa: S311
        self._governed = governed
        self._words = words
        services = scenario.services
        patience = max(policy(name, callee).timeout for name, one in services.items() for callee in one.calls)
        self._until = scenario.seconds + patience * (len(services) - 1) + AFTER
        self.services = {
            name: SimulatedService(one, work, [t for t in scenario.troubles if t.service == name], self._until)
            for name, one in services.items()
        }
        for simulated in self.services.values():
            self._furnish(simulated, policy)

    def run(self) -> Self:
        """Let it all happen. The garbage collector rests: requests are freed without it, and there are many."""
        agenda = self._agenda
        for simulated in self.services.values():
            if simulated.service.rate:
                self._await_arrival(simulated)
            for endpoint, instant in [(one, at) for one in simulated.endpoints for at in one.lost_caches]:
                agenda.at(instant, self._forget, endpoint)
            for endpoint, change in [(one, change) for one in simulated.endpoints for change in one.changes]:
                agenda.at(change[0], self._change_pace, (endpoint, change))
            for trouble in simulated.bursts:
                agenda.at(trouble.begins, self._burst, simulated, trouble.requests)
            callers = simulated.service.callers * len(simulated.pods)
            for caller in range(callers):
                agenda.at(CALLERS_WITHIN * caller / callers, self._ask, simulated, caller)
            for trouble in simulated.troubles:
                agenda.at(trouble.begins, self._go_down, (simulated, trouble))
                agenda.at(trouble.ends, self._come_back, simulated)
        collecting = gc.isenabled()
        gc.disable()
        try:
            done = 0.0
            while done < self._until:
                done = min(done + PROGRESS, self._until)
                agenda.run(done)
                if self._words is not None:
                    self._words(done / self._until)
        finally:
            if collecting:
                gc.enable()
        return self

    # Building

    def _furnish(self, simulated: SimulatedService, policy: Callable[[str, str], DestinationPolicy]) -> None:
        service = simulated.service
        for index, (callee, share) in enumerate(service.calls.items()):
            hop = Hop(self.services[callee], index, share, service.unsafe)
            asked = policy(service.name, callee)
            hop.policy = asked if self._governed else ungoverned(asked)
            hop.slow = self._agenda.lane(hop.policy.per_attempt_timeout, self._late)
            hop.requests = Curve(self._until)
            simulated.hops.append(hop)
        simulated.pods = [Pod(self._fresh(simulated), self._choices(simulated)) for _ in range(service.pods)]
        for endpoint in simulated.endpoints:
            endpoint.worked = partial(self._worked, endpoint)
        if service.rate and service.deadline < _FOREVER:
            simulated.leaving = self._agenda.lane(service.deadline, self._leave)

    def _fresh(self, simulated: SimulatedService) -> list[Destination]:
        destinations = []
        for hop in simulated.hops:
            destination = Destination(hop.callee.service.name, hop.policy, self._chance, self._agenda.now)
            if not self._governed:
                destination.budget = EndlessBudget(hop.policy.budget, self._agenda.now)
                destination.lateness = FixedLateness()
                destination.late_retries = EndlessAllowance()
            destinations.append(destination)
        return destinations

    def _choices(self, simulated: SimulatedService) -> list[P2CBalancer[EndpointHealth] | None]:
        known = [hop.callee.endpoints for hop in simulated.hops]
        return [
            P2CBalancer([EndpointHealth(one) for one in each], self._chance) if len(each) > 1 else None
            for each in known
        ]

    # A request from outside, and the work of a pod

    def _await_arrival(self, simulated: SimulatedService) -> None:
        instant = self._agenda.now - math.log(1.0 - self._coming()) / simulated.stream
        if instant < self.scenario.seconds:
            self._agenda.at(instant, self._arrive, simulated)

    def _arrive(self, simulated: SimulatedService, _: int) -> None:
        self._await_arrival(simulated)
        pods = simulated.pods
        pod = pods[int(self._coming() * len(pods))]
        down = pod.down
        if down is None:
            self._begin(simulated, pod)
        elif self._chance() < down.backlog:
            pod.backlog += 1
        else:
            simulated.begun.add(self._agenda.now)

    def _burst(self, simulated: SimulatedService, requests: int) -> None:
        """So many come in the same instant, at pods taken at random."""
        for _ in range(requests):
            self._begin(simulated, simulated.pods[int(self._coming() * len(simulated.pods))])

    def _ask(self, simulated: SimulatedService, caller: int) -> None:
        """One of those who ask again when they are answered: each has a pod of its own."""
        if self._agenda.now < self.scenario.seconds:
            self._begin(simulated, simulated.pods[caller % len(simulated.pods)], caller)

    def _begin(self, simulated: SimulatedService, pod: Pod, caller: int = -1) -> None:
        now = self._agenda.now
        simulated.begun.add(now)
        job = Job(simulated, pod, now, None, caller)
        if simulated.leaving is not None:
            simulated.leaving.add(now, job, 0)
        self._go_on(job, _OK)

    def _go_on(self, job: Job, status: int) -> None:
        """The last call was answered so: make the next one, or answer."""
        hops = job.simulated.hops
        while status < 400 and job.step < len(hops):
            hop = hops[job.step]
            job.step += 1
            if hop.share < 1.0 and self._chance() >= hop.share:
                continue
            unsafe = hop.unsafe and self._chance() < hop.unsafe
            call = job.outbound = Call(hop, job, self._agenda.now, -_FOREVER if unsafe else _FOREVER)
            if hop.callee.is_uneven:
                call.dice = self._dice()
            admission = call.admit(self._agenda.now)
            if admission is _GO:
                self._send(call)
                return
            self._follow(call, admission)
            if not call.ended and call.destination.limiter.waiting:
                self._wake(call.destination)
            return
        job.over = True
        if job.inbound is not None:
            self._answered(job.inbound, job.ticket, status)
            return
        if job.simulated.leaving is not None:
            job.simulated.leaving.drop(job)
        if status < 400:
            job.simulated.good.add(job.began)
            self.latencies.append(self._agenda.now - job.began)
        if job.simulated.service.callers:
            self._ask_again(job, 0.0 if status < 400 else CALLERS_PAUSE)

    def _ask_again(self, job: Job, pause: float) -> None:
        if job.ticket >= 0:
            self._agenda.at(self._agenda.now + pause, self._ask, job.simulated, job.ticket)

    def _leave(self, job: Job, _: int) -> None:
        """The caller from outside leaves."""
        if job.over or job.epoch != job.pod.epoch:
            return
        job.over = True
        call, job.outbound = job.outbound, None
        if call is not None and not call.ended:
            now = self._agenda.now
            call.ended = True
            call.hop.slow.drop(call)
            self._part(call)
            self._part_elder(call)
            call.abandon(now)
            call.finish(now, _ABANDONED)
            if call.destination.limiter.waiting:
                self._wake(call.destination)
        if job.simulated.service.callers:
            self._ask_again(job, CALLERS_PAUSE)

    # One call: what a proxy does

    def _admit(self, call: Call) -> None:
        self._follow(call, call.admit(self._agenda.now))

    def _follow(self, call: Call, admission: Admission | Refusal) -> None:
        if admission is _GO:
            self._send(call)
        elif admission is _WAIT:
            self._agenda.at(max(call.wake_at, self._agenda.now + TICK), self._wake_up, call, call.ticket)
        else:
            assert isinstance(admission, Refusal)
            self._end(call, 503, Result.REFUSED, admission)

    def _wake_up(self, call: Call, ticket: int) -> None:
        """It has waited for as long as it was to wait, and its turn has not come in between."""
        if call.ticket == ticket and not call.ended and self._is_there(call):
            self._follow(call, call.wake(self._agenda.now))
            if call.destination.limiter.waiting:
                self._wake(call.destination)

    def _send(self, call: Call) -> None:
        now = self._agenda.now
        call.ticket = ticket = call.ticket + 1
        call.refusal = None
        hop = call.hop
        if call.attempts == 1:
            hop.requests.add(now)
        if call.deadline < now + call.policy.per_attempt_timeout:
            self._agenda.at(call.deadline, self._too_late, call, ticket)
        else:
            hop.slow.add(now, call, ticket)
        choice = call.job.pod.choices[hop.index]
        if choice is None:
            self._receive(hop.callee, hop.callee.endpoints[0], call, ticket)
            return
        address = call.address = choice.choose(call.tried, now)
        address.in_flight += 1
        self._receive(hop.callee, address.endpoint, call, ticket)

    @staticmethod
    def _part(call: Call) -> EndpointHealth | None:
        """The attempt in flight is over, wherever it was."""
        address, call.address = call.address, None
        if address is not None:
            address.in_flight -= 1
            call.tried = (*call.tried, address)
        return address

    @staticmethod
    def _part_elder(call: Call) -> EndpointHealth | None:
        address, call.elder_address, call.elder_ticket = call.elder_address, None, _NO_TICKET
        if address is not None:
            address.in_flight -= 1
        return address

    @staticmethod
    def _resume_elder(call: Call) -> None:
        """The retry has come to nothing: the elder attempt is the current one again."""
        call.ticket, call.elder_ticket = call.elder_ticket, _NO_TICKET
        call.address, call.elder_address = call.elder_address, None

    def _answered(self, call: Call, ticket: int, status: int, retry_after: float | None = None) -> None:
        if call.ended or not self._is_there(call):
            return
        now = self._agenda.now
        if ticket == call.ticket:
            verdict = call.on_status(now, status, retry_after)
            if call.address is not None:
                self._judge(call, call.address, status, now)
            self._heed(call, verdict, status)
        elif ticket == call.elder_ticket:
            verdict = call.on_elder_status(now, status, retry_after)
            address = self._part_elder(call)
            if address is not None:
                self._judge(call, address, status, now)
            if isinstance(verdict, Await):
                self._wake_others(call)
            else:
                self._heed(call, verdict, status)

    @staticmethod
    def _judge(call: Call, address: EndpointHealth, status: int, now: float) -> None:
        """Record the answer in the health record of its endpoint, as the proxy does."""
        if address.ejected_until <= now:
            address.record_connection()
        if status in call.policy.breaker.statuses:
            address.record_failure(call.destination, now)
        elif status not in call.destination.failing:
            address.record_success(now)

    def _late(self, call: Call, ticket: int) -> None:
        if call.ticket != ticket or call.ended or not self._is_there(call):
            return
        now = self._agenda.now
        if now >= call.deadline:
            self._too_late(call, ticket)
            return
        if now < call.late_at:
            self._agenda.at(min(call.late_at, call.deadline), self._late, call, ticket)
            return
        call.elsewhere = call.address is not None  # set only where there is a choice
        verdict = call.on_late(now)
        if call.address is not None:
            call.address.record_timeout(call.attempt_began, now)
        self._agenda.at(call.deadline, self._too_late, call, ticket)
        if isinstance(verdict, Retry):
            if self._governed:
                call.elder_ticket, call.elder_address, call.address = ticket, call.address, None
                if call.elder_address is not None:
                    call.tried = (*call.tried, call.elder_address)
            else:
                call.give_up_elder(now)  # a naive client gives an attempt up for the next one
            self._heed(call, verdict, 504)
        elif isinstance(verdict, Deliver):
            call.refusal = verdict.refusal

    def _too_late(self, call: Call, ticket: int) -> None:
        if not call.ended and ticket in {call.ticket, call.elder_ticket} and self._is_there(call):
            self._heed(call, call.on_deadline(self._agenda.now, sent=True), 504)

    def _heed(self, call: Call, verdict: Verdict, status: int) -> None:
        now = self._agenda.now
        call.hop.slow.drop(call)
        if call.address is not None:
            self._part(call)
        if isinstance(verdict, Await):
            self._resume_elder(call)
        elif isinstance(verdict, Retry):
            call.ticket += 1
            call.kept = status
            self._agenda.at(now + verdict.delay, self._depart, call, call.ticket)
        else:
            refusal = verdict.refusal or call.refusal
            self._end(call, status, _FAULT if status in _FAULTS else result_of(status), refusal)
        self._wake_others(call)

    def _depart(self, call: Call, ticket: int) -> None:
        if call.ticket != ticket or call.ended or not self._is_there(call):
            return
        admission = call.depart(self._agenda.now)
        if admission is _GO:
            self._send(call)
        elif call.elder_ticket != _NO_TICKET:
            self._resume_elder(call)
            call.refusal = admission if isinstance(admission, Refusal) else None
        else:
            assert isinstance(admission, Refusal)
            self._end(call, call.kept, _FAULT if call.kept in _FAULTS else result_of(call.kept), admission)
            self._wake_others(call)

    def _wake_others(self, call: Call) -> None:
        if call.destination.limiter.waiting:
            self._wake(call.destination)

    def _end(self, call: Call, status: int, result: Result, refusal: Refusal | None) -> None:
        call.ended = True
        self._part_elder(call)
        call.finish(self._agenda.now, result)
        if refusal is not None:
            self.refusals[refusal] += 1
        job = call.job
        job.outbound = None
        if not job.over:
            self._go_on(job, status)

    def _wake(self, destination: Destination) -> None:
        """Admit waiting requests after a change that may have freed slots."""
        while (waiter := destination.next_waiter(self._agenda.now)) is not None:
            assert isinstance(waiter, Call)
            waiter.ticket += 1
            self._admit(waiter)
        if (oldest := destination.next_to_rearm()) is not None:
            assert isinstance(oldest, Call)
            self._agenda.at(max(oldest.wake_at, self._agenda.now + TICK), self._wake_up, oldest, oldest.ticket)

    @staticmethod
    def _is_there(call: Call) -> bool:
        """Whether the pod that made the call is still the same one."""
        return call.job.epoch == call.job.pod.epoch

    # The other end: what a service does

    def _receive(self, simulated: SimulatedService, endpoint: SimulatedEndpoint, call: Call, ticket: int) -> None:
        now = self._agenda.now
        simulated.attempts.add(now)
        for trouble in endpoint.troubles:
            if trouble.begins <= now < trouble.ends and (trouble.share >= 1.0 or self._chance() < trouble.share):
                if trouble.kind == "error":
                    self._agenda.at(now + FAST, self._fail, (call, trouble.status, trouble.retry_after), ticket)
                else:
                    self._agenda.at(now + FAST, self._refuse, call, ticket)
                return
        if not simulated.service.workers:
            self._agenda.at(now + FAST, endpoint.worked, call, ticket)
        elif endpoint.idle:
            endpoint.idle -= 1
            self._agenda.at(endpoint.pace.finished(now, endpoint.work(call)), endpoint.worked, call, ticket)
        elif len(endpoint.queue) < simulated.service.queue:
            endpoint.queue.append((call, ticket))
            simulated.longest_queue = max(simulated.longest_queue, len(endpoint.queue))
        else:
            self._agenda.at(now + FAST, self._fail, (call, 503, None), ticket)

    def _worked(self, endpoint: SimulatedEndpoint, call: Call, ticket: int) -> None:
        """A worker has done with it, and takes the next; it does not learn that its caller has left."""
        simulated = call.hop.callee
        now = self._agenda.now
        if endpoint.queue:
            following, its_ticket = endpoint.queue.popleft()
            self._agenda.at(
                endpoint.pace.finished(now, endpoint.work(following)), endpoint.worked, following, its_ticket
            )
        elif simulated.service.workers:
            endpoint.idle += 1
        simulated.answers += 1
        if call.ended or ticket not in {call.ticket, call.elder_ticket}:
            simulated.wasted += 1
        if simulated.service.failing and self._chance() < simulated.service.failing:
            self._answered(call, ticket, 503)
        elif simulated.hops:
            pods = simulated.pods
            self._go_on(Job(simulated, pods[int(self._chance() * len(pods))], now, call, ticket), _OK)
        else:
            self._answered(call, ticket, _OK)

    def _fail(self, what: tuple[Call, int, float | None], ticket: int) -> None:
        call, status, retry_after = what
        self._answered(call, ticket, status, retry_after)

    def _refuse(self, call: Call, ticket: int) -> None:
        if call.ticket == ticket and not call.ended and self._is_there(call):
            if call.address is not None:
                call.address.record_connect_failure(self._agenda.now)
            self._heed(call, call.on_fault(self._agenda.now, Fault.CONNECT_FAILURE, sent=False), 502)

    @staticmethod
    def _change_pace(what: tuple[SimulatedEndpoint, tuple[float, float, Callable[[], float]]], _: int) -> None:
        changing, (_at, share, draw_slow) = what
        changing.slow_share, changing.slow_draw = share, draw_slow

    @staticmethod
    def _forget(endpoint: SimulatedEndpoint, _: int) -> None:
        endpoint.cache.empty()

    # A restart

    def _go_down(self, what: tuple[SimulatedService, Trouble], _: int) -> None:
        simulated, trouble = what
        for pod in simulated.pods:
            pod.epoch += 1
            pod.down = trouble

    def _come_back(self, simulated: SimulatedService, _: int) -> None:
        """All at once, each with what waited for it: the lockstep that is to be survived."""
        for pod in simulated.pods:
            pod.destinations, pod.choices = self._fresh(simulated), self._choices(simulated)
            pod.down = None
            waiting, pod.backlog = pod.backlog, 0
            for _request in range(waiting):
                self._begin(simulated, pod)
