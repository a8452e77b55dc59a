"""The driver against a host that writes down what it is asked for."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.engine.destination import Destination
from sidecar.engine.driver import Driver, DriverPhase, wake
from sidecar.engine.outcome import AttemptKind, Fault, Result
from sidecar.engine.policy import BudgetPolicy, ConcurrencyPolicy, DestinationPolicy, LimitKind, RetryPolicy
from sidecar.engine.retry import RetryState
from sidecar.engine.verdict import Refusal

HALF = 0.5
"""What the dice always show: a back-off is half of its bound."""


class Transcript:
    """A host that only writes down."""

    def __init__(
        self,
        destination: Destination,
        now: float = 0.0,
        repeatable_until: float = math.inf,
        *,
        overlapping: bool = True,
    ) -> None:
        self.said: list[tuple[object, ...]] = []
        self.timer_at = math.inf
        self.driver = Driver(self, RetryState(destination, now, repeatable_until), overlapping=overlapping)

    def send(self, number: int, now: float) -> None:
        self.said.append(("send", number, now))

    def call_off(self, number: int) -> None:
        self.said.append(("call_off", number))

    def arm(self, at: float) -> None:
        self.timer_at = at

    def deliver(self, number: int, refusal: Refusal | None, now: float) -> None:
        self.said.append(("deliver", number, refusal, now))

    def refuse(self, refusal: Refusal, now: float) -> None:
        self.said.append(("refuse", refusal, now))


def policy(**changes: object) -> DestinationPolicy:
    return DestinationPolicy(**{"timeout": 10.0, "per_attempt_timeout": 1.0, **changes})  # type: ignore[arg-type]


def destination(**changes: object) -> Destination:
    return Destination("payments", policy(**changes), lambda: HALF, 0.0)


def test_a_good_answer_is_delivered() -> None:
    host = Transcript(destination())

    host.driver.begin(0.0)
    host.driver.on_status(1, 0.2, 200)

    assert host.said == [("send", 1, 0.0), ("deliver", 1, None, 0.2)]
    assert host.driver.phase is DriverPhase.OVER


def test_a_failed_attempt_is_kept_until_its_retry_has_left() -> None:
    host = Transcript(destination())
    host.driver.begin(0.0)

    host.driver.on_status(1, 0.0, 503)
    backing_off = host.driver.phase
    host.driver.on_timer(host.timer_at)
    host.driver.on_status(2, 0.4, 200)

    assert backing_off is DriverPhase.BACKING_OFF
    assert host.said == [("send", 1, 0.0), ("call_off", 1), ("send", 2, 0.0125), ("deliver", 2, None, 0.4)]


def test_a_retry_that_may_not_leave_any_more_delivers_what_was_kept() -> None:
    it = destination()
    host = Transcript(it)
    host.driver.begin(0.0)
    host.driver.on_status(1, 0.0, 503)

    it.draining = True
    host.driver.on_timer(host.timer_at)

    assert host.said == [("send", 1, 0.0), ("deliver", 1, Refusal.DRAINING, 0.0125)]


def test_a_late_attempt_is_awaited_alone_if_its_retry_may_not_leave_any_more() -> None:
    it = destination()
    host = Transcript(it)
    host.driver.begin(0.0)
    host.driver.on_timer(host.timer_at)  # late

    it.draining = True
    host.driver.on_timer(host.timer_at)  # the back-off is over
    awaited = (host.driver.phase, host.driver.elder, host.timer_at)
    host.driver.on_status(1, 1.5, 200)

    assert awaited == (DriverPhase.IN_FLIGHT, 0, 10.0)
    assert host.said == [("send", 1, 0.0), ("deliver", 1, Refusal.DRAINING, 1.5)]
    assert it.limiter.in_flight == 0


def test_a_late_attempt_goes_on_beside_its_retry_and_wins_if_it_is_answered_first() -> None:
    it = destination()
    host = Transcript(it)
    host.driver.begin(0.0)

    host.driver.on_timer(host.timer_at)
    host.driver.on_timer(host.timer_at)
    both = (host.driver.elder, it.limiter.in_flight)
    host.driver.on_status(1, 1.5, 200)

    assert both == (1, 2)
    assert host.said == [("send", 1, 0.0), ("send", 2, 1.0125), ("call_off", 2), ("deliver", 1, None, 1.5)]
    assert it.limiter.in_flight == it.limiter.orphaned


def test_the_retry_of_a_late_attempt_wins_if_it_is_answered_first() -> None:
    host = Transcript(destination())
    host.driver.begin(0.0)
    host.driver.on_timer(host.timer_at)
    host.driver.on_timer(host.timer_at)

    host.driver.on_status(2, 1.5, 200)

    assert host.said[2:] == [("call_off", 1), ("deliver", 2, None, 1.5)]


def test_a_late_attempt_that_is_answered_during_the_back_off_ends_the_call() -> None:
    host = Transcript(destination())
    host.driver.begin(0.0)
    host.driver.on_timer(host.timer_at)

    host.driver.on_status(1, 1.001, 200)

    assert host.said == [("send", 1, 0.0), ("deliver", 1, None, 1.001)]


def test_a_retry_that_fails_leaves_the_elder_awaited() -> None:
    host = Transcript(destination())
    host.driver.begin(0.0)
    host.driver.on_timer(host.timer_at)
    host.driver.on_timer(host.timer_at)

    host.driver.on_fault(2, 1.2, Fault.RESET, sent=True)
    host.driver.on_status(1, 4.0, 200)

    assert host.said[2:] == [("call_off", 2), ("deliver", 1, None, 4.0)]


def test_an_elder_that_fails_leaves_its_retry_awaited() -> None:
    host = Transcript(destination())
    host.driver.begin(0.0)
    host.driver.on_timer(host.timer_at)
    host.driver.on_timer(host.timer_at)

    host.driver.on_fault(1, 1.2, Fault.RESET, sent=True)
    host.driver.on_status(2, 4.0, 200)

    assert host.said[2:] == [("call_off", 1), ("deliver", 2, None, 4.0)]


def test_at_the_deadline_both_attempts_are_called_off() -> None:
    it = destination(timeout=3.0)
    host = Transcript(it)
    host.driver.begin(0.0)
    host.driver.on_timer(host.timer_at)
    host.driver.on_timer(host.timer_at)

    while host.driver.phase is not DriverPhase.OVER:
        host.driver.on_timer(host.timer_at)

    assert host.said[2:4] == [("call_off", 1), ("call_off", 2)]
    assert host.said[4][:2] == ("deliver", 2)
    assert host.said[4][3] == 3.0
    assert it.tally.requests[Result.FAULT] == 1


def test_a_host_that_cannot_overlap_is_not_asked_about_a_late_attempt() -> None:
    host = Transcript(destination(), overlapping=False)

    host.driver.begin(0.0)

    assert host.timer_at == 10.0


def test_an_outcome_that_comes_after_its_attempt_was_called_off_is_passed_over() -> None:
    host = Transcript(destination())
    host.driver.begin(0.0)
    host.driver.on_timer(host.timer_at)
    host.driver.on_timer(host.timer_at)
    host.driver.on_status(2, 1.5, 200)
    said = list(host.said)

    host.driver.on_status(1, 1.6, 503)
    host.driver.on_fault(1, 1.6, Fault.RESET, sent=True)

    assert host.said == said


def test_a_caller_that_leaves_calls_off_both_attempts() -> None:
    host = Transcript(destination())
    host.driver.begin(0.0)
    host.driver.on_timer(host.timer_at)
    host.driver.on_timer(host.timer_at)

    host.driver.abandon(1.4)
    host.driver.abandon(1.5)

    assert host.said[2:] == [("call_off", 1), ("call_off", 2)]


def test_a_request_that_waits_is_sent_when_a_slot_becomes_free() -> None:
    it = destination(concurrency=ConcurrencyPolicy(limit=LimitKind.FIXED, initial=1, min_in_flight=1, max_in_flight=1))
    first, second = Transcript(it), Transcript(it)
    first.driver.begin(0.0)
    second.driver.begin(0.1)

    first.driver.on_status(1, 0.5, 200)

    assert second.said == [("send", 1, 0.5)]


def test_a_request_that_waits_past_its_deadline_is_refused() -> None:
    it = destination(concurrency=ConcurrencyPolicy(limit=LimitKind.FIXED, initial=1, min_in_flight=1, max_in_flight=1))
    first, second = Transcript(it), Transcript(it)
    first.driver.begin(0.0)
    second.driver.begin(0.0)

    second.driver.on_timer(second.timer_at)

    assert second.said == [("refuse", Refusal.CONCURRENCY_LIMIT, pytest.approx(9.95))]


def test_a_change_from_outside_wakes_those_who_wait() -> None:
    narrow = ConcurrencyPolicy(limit=LimitKind.FIXED, initial=1, min_in_flight=1, max_in_flight=1)
    wide = ConcurrencyPolicy(limit=LimitKind.FIXED, initial=9, min_in_flight=1, max_in_flight=9)
    it = destination(concurrency=narrow)
    first, second = Transcript(it), Transcript(it)
    first.driver.begin(0.0)
    second.driver.begin(0.0)

    it.adopt(policy(concurrency=wide), 0.3)
    wake(it, 0.3)

    assert second.said == [("send", 1, 0.3)]


def test_a_timer_that_fires_early_is_armed_for_later() -> None:
    it = destination(concurrency=ConcurrencyPolicy(limit=LimitKind.FIXED, initial=1, min_in_flight=1, max_in_flight=1))
    first, second = Transcript(it), Transcript(it)
    first.driver.begin(0.0)
    second.driver.begin(0.0)

    second.driver.on_timer(5.0)

    assert second.timer_at > 5.0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 7), st.sampled_from(("good", "503", "reset", "hang", "leave")), st.floats(0.0, 2.5)),
        min_size=20,
        max_size=250,
    )
)
def test_a_total_outage_in_any_mix_stays_within_the_budget_and_leaves_nothing_taken(
    events: list[tuple[int, str, float]],
) -> None:
    it = destination(budget=BudgetPolicy(ratio=0.1, min_retries=3), retry=RetryPolicy(max_attempts=10))
    hosts: list[Transcript] = []
    now = 0.0
    for which, event, wait in events:
        now += wait / 10
        if len(hosts) < 8 or event == "hang":
            hosts.append(Transcript(it, now))
            hosts[-1].driver.begin(now)
        host = hosts[which % len(hosts)]
        if host.timer_at <= now:
            host.driver.on_timer(now)
        sent = [said[1] for said in host.said if said[0] == "send"]
        number = int(str(sent[-1 - which % min(2, len(sent))])) if sent else 1
        match event:
            case "good":
                host.driver.on_status(number, now, 200)
            case "503":
                host.driver.on_status(number, now, 503)
            case "reset":
                host.driver.on_fault(number, now, Fault.RESET, sent=True)
            case "leave":
                host.driver.abandon(now)

    for host in hosts:
        host.driver.abandon(now)

    requests = sum(1 for host in hosts if ("send", 1) in {said[:2] for said in host.said})
    retries = sum(1 for host in hosts for said in host.said if said[0] == "send" and said[1] != 1)
    assert retries <= 0.1 * requests + 3 * (now / 10.0 + 1)
    assert it.limiter.awaited == 0
    assert not it.limiter.waiting
    assert sum(it.tally.attempts[AttemptKind.RETRY]) == retries
    assert sum(it.tally.requests) == len(hosts)
