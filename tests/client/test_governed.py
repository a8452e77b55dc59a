"""Calls of functions: what is repeated, what is raised, and that a total outage stays within the budget."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from sidecar.client import Attempt, CallFailed, CallRefused, CallTimedOut, Failure, GovernedDestination
from sidecar.engine.outcome import AttemptKind, Result
from sidecar.engine.policy import BreakerPolicy, BudgetPolicy, ConcurrencyPolicy, LimitKind
from tests.client.conftest import quick_policy
from tests.fakes.waiting import turn

BOUND = 3
"""`min_retries` of the baseline."""


class Failing:
    """A function that fails so many times before it returns its attempt's number."""

    def __init__(self, failures: int, error: Callable[[], Exception] = ConnectionResetError) -> None:
        self.failures = failures
        self.error = error
        self.attempts: list[Attempt] = []

    def __call__(self, attempt: Attempt) -> int:
        self.attempts.append(attempt)
        if len(self.attempts) <= self.failures:
            raise self.error()
        return attempt.number

    async def awaited(self, attempt: Attempt) -> int:
        return self(attempt)


def test_an_idempotent_call_is_tried_again(payments: GovernedDestination) -> None:
    function = Failing(1)

    assert payments.call(function, idempotent=True) == 2


def test_an_undeclared_call_that_may_have_been_executed_is_not_tried_again(payments: GovernedDestination) -> None:
    function = Failing(1)

    with pytest.raises(CallFailed) as caught:
        payments.call(function)

    assert caught.value.refusal == "not_idempotent"
    assert caught.value.attempts == len(function.attempts) == 1
    assert isinstance(caught.value.__cause__, ConnectionResetError)


def test_an_undeclared_call_of_which_nothing_was_sent_is_tried_again(payments: GovernedDestination) -> None:
    assert payments.call(Failing(1, ConnectionRefusedError)) == 2


def test_all_attempts_of_a_call_have_the_same_key(honouring: GovernedDestination) -> None:
    function = Failing(1)

    honouring.call(function, idempotency_key=True)
    first, second = [attempt.idempotency_key for attempt in function.attempts]

    assert first == second
    assert first is not None


def test_a_key_that_the_destination_does_not_honour_makes_nothing_repeatable(payments: GovernedDestination) -> None:
    with pytest.raises(CallFailed, match="not_idempotent"):
        payments.call(Failing(1), idempotency_key="order-17")


def test_an_exception_that_is_no_failure_is_raised_as_it_is(payments: GovernedDestination) -> None:
    function = Failing(5, lambda: KeyError("card_declined"))

    with pytest.raises(KeyError):
        payments.call(function, idempotent=True)

    assert len(function.attempts) == 1


def test_a_wish_to_wait_that_is_too_long_is_not_waited_for(payments: GovernedDestination) -> None:
    def classify(error: Exception) -> Failure | None:
        return Failure(status=503, retry_after=600.0)

    with pytest.raises(CallFailed, match="retry_after_too_long"):
        payments.call(Failing(5), idempotent=True, classify=classify)


def test_what_interrupts_the_program_is_not_tried_again_and_leaves_nothing_taken(payments: GovernedDestination) -> None:
    def interrupted(attempt: Attempt) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        payments.call(interrupted, idempotent=True)

    assert payments.engine.limiter.in_flight == 0
    assert payments.engine.tally.requests[Result.ABANDONED] == 1


def test_an_open_breaker_refuses_before_anything_is_sent() -> None:
    it = GovernedDestination(
        "payments", quick_policy(breaker=BreakerPolicy(consecutive_failures=1, open=60, max_open=60)), lambda: 0.5
    )
    with pytest.raises(CallFailed):
        it.call(Failing(1))
    function = Failing(0)

    with pytest.raises(CallRefused, match="left alone") as caught:
        it.call(function)

    assert function.attempts == []
    assert caught.value.refusal == "breaker_open"
    assert caught.value.attempts == 0
    assert 0 < caught.value.retry_after <= 72


def test_a_total_outage_in_64_threads_is_exact_about_the_budget(payments: GovernedDestination) -> None:
    function = Failing(10**9)

    def calls() -> None:
        for _ in range(25):
            with pytest.raises(CallFailed):
                payments.call(function, idempotent=True)

    threads = [threading.Thread(target=calls) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    requests = 64 * 25
    retries = len(function.attempts) - requests
    tally = payments.engine.tally
    assert 0 < retries <= 0.1 * requests + BOUND
    assert sum(tally.attempts[AttemptKind.RETRY]) == retries
    assert tally.requests[Result.FAULT] == requests
    assert payments.engine.limiter.in_flight == 0


async def test_a_total_outage_in_1_000_tasks_is_exact_about_the_budget(payments: GovernedDestination) -> None:
    function = Failing(10**9)

    async def call() -> None:
        with pytest.raises(CallFailed):
            await payments.call_async(function.awaited, idempotent=True)

    await asyncio.gather(*(call() for _ in range(1000)))

    retries = len(function.attempts) - 1000
    assert 0 < retries <= 0.1 * 1000 + BOUND
    assert sum(payments.engine.tally.attempts[AttemptKind.RETRY]) == retries
    assert payments.engine.limiter.in_flight == 0


def test_threads_wait_for_a_slot_and_each_gets_its_turn() -> None:
    policy = quick_policy(
        concurrency=ConcurrencyPolicy(limit=LimitKind.FIXED, initial=2, min_in_flight=1, max_in_flight=2)
    )
    it = GovernedDestination("payments", policy, lambda: 0.5)
    together = []

    def function(attempt: Attempt) -> int:
        together.append(it.engine.limiter.in_flight)
        return attempt.number

    threads = [threading.Thread(target=it.call, args=(function,)) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(together) == 64
    assert max(together) <= 2


async def test_a_late_attempt_goes_on_beside_its_retry() -> None:
    it = GovernedDestination("payments", quick_policy(per_attempt_timeout=0.01), lambda: 0.5)
    retried = asyncio.Event()

    async def function(attempt: Attempt) -> str:
        if attempt.number == 2:
            retried.set()
            await asyncio.Event().wait()
        await retried.wait()
        return "elder"

    assert await it.call_async(function, idempotent=True) == "elder"
    assert it.engine.tally.attempts[AttemptKind.RETRY][Result.SUPERSEDED] == 1


async def test_at_the_deadline_everything_is_cancelled() -> None:
    it = GovernedDestination("payments", quick_policy(timeout=0.08, per_attempt_timeout=0.01), lambda: 0.5)
    ended = []

    async def function(attempt: Attempt) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(attempt.number)

    with pytest.raises(CallTimedOut, match="may have been executed"):
        await it.call_async(function, idempotent=True)

    assert sorted(ended) == [1, 2]


async def test_a_task_that_is_cancelled_abandons_its_call() -> None:
    it = GovernedDestination("payments", quick_policy(), lambda: 0.5)
    begun = asyncio.Event()

    async def function(attempt: Attempt) -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(it.call_async(function, idempotent=True))
    await begun.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert it.engine.limiter.awaited == 0
    assert it.engine.tally.requests[Result.ABANDONED] == 1


async def test_a_slot_that_a_thread_frees_wakes_a_task() -> None:
    policy = quick_policy(
        concurrency=ConcurrencyPolicy(limit=LimitKind.FIXED, initial=1, min_in_flight=1, max_in_flight=1)
    )
    it = GovernedDestination("payments", policy, lambda: 0.5)
    inside, leave = threading.Event(), threading.Event()

    def occupying(attempt: Attempt) -> None:
        inside.set()
        leave.wait()

    async def function(attempt: Attempt) -> str:
        return "my turn"

    thread = threading.Thread(target=it.call, args=(occupying,))
    thread.start()
    await asyncio.to_thread(inside.wait)
    task = asyncio.create_task(it.call_async(function))
    while not it.engine.limiter.waiting:
        await turn()
    leave.set()

    assert await task == "my turn"
    thread.join()


def test_an_observer_hears_of_attempts_in_their_order() -> None:
    heard: list[tuple[object, ...]] = []

    class Ears:
        def on_attempt(self, destination: str, call: int, number: int, began: float) -> None:
            heard.append((destination, call, number))

        def on_outcome(self, destination: str, call: int, number: int, outcome: str, seconds: float) -> None:
            heard.append((number, outcome))

        def on_end(self, destination: str, call: int, attempts: int, refusal: str | None) -> None:
            heard.append((attempts, refusal))

    it = GovernedDestination("payments", quick_policy(), lambda: 0.5, Ears())

    it.call(Failing(1), idempotent=True)

    assert heard == [("payments", 1, 1), (1, "reset"), ("payments", 1, 2), (2, "success"), (2, None)]


def test_no_budget_can_be_switched_off_by_an_argument() -> None:
    it = GovernedDestination("payments", quick_policy(budget=BudgetPolicy(ratio=0.0, min_retries=0)), lambda: 0.5)
    function = Failing(1)

    with pytest.raises(CallFailed, match="budget_exhausted"):
        it.call(function, idempotent=True)
