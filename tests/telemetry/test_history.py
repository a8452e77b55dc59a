"""A row a second from the engine's integers; nothing lost between rows; bounded."""

import asyncio
import math
import tracemalloc
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from sidecar.engine.breaker import BreakerState
from sidecar.engine.destination import Destination
from sidecar.engine.outcome import AttemptKind, Fault, Result
from sidecar.engine.policy import BreakerPolicy, BudgetPolicy, DestinationPolicy
from sidecar.engine.retry import Admission, RetryState
from sidecar.engine.verdict import Refusal, Retry
from sidecar.telemetry import history as module
from sidecar.telemetry.history import ALIKE, EXCHANGES, MAX_DESTINATIONS, ROWS, History, Sampler
from sidecar.telemetry.record import AttemptRecord, ExchangeRecord
from tests.admin.scenery import storm
from tests.fakes.playbook import FakeLoop
from tests.fakes.waiting import turn
from tests.telemetry.sources import destination

FAILED = AttemptRecord(1, "first", "10.0.0.1:80", "503", 0.004, 0.0)
RECORD = ExchangeRecord(
    destination="payments",
    method="GET",
    target="/charges",
    status=503,
    result="server_error",
    seconds=0.019,
    attempts=(FAILED,),
    refusal="budget_exhausted",
    budget_balance=0.0,
    breaker="closed",
    policy_version=7,
    request_id="r-1",
    trace_id=None,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Scene:
    """A history of one destination, its clock in hand."""

    def __init__(self, policy: DestinationPolicy | None = None) -> None:
        self.clock = Clock()
        self.payments = Destination("payments", policy or DestinationPolicy(), lambda: 0.5, self.clock.now)
        self.history = History(self.clock)

    def turn(self, seconds: float = 1.0) -> None:
        self.clock.now += seconds
        self.history.sample({"payments": self.payments})

    def request(self, status: int, seconds: float = 0.01) -> None:
        exchange = RetryState(self.payments, self.clock.now, -math.inf)
        admission = exchange.admit(self.clock.now)
        if admission is Admission.GO:
            exchange.on_status(self.clock.now + seconds, status, None)
            exchange.finish(self.clock.now + seconds, Result.SUCCESS if status < 400 else Result.SERVER_ERROR)
        else:
            exchange.finish(self.clock.now, Result.REFUSED)

    def column(self, name: str, rows: int) -> list[float]:
        return self.history.series["payments"].rows(self.history.row - rows, rows)[name]


def test_a_row_holds_what_happened_in_its_second() -> None:
    scene = Scene()
    for status in (200, 200, 503):
        scene.request(status)
    scene.turn()
    scene.request(200)
    scene.turn()

    assert scene.column("requests", 2) == [3, 1]
    assert scene.column("failed", 2) == [1, 0]
    assert scene.column("first", 2) == [3, 1]
    assert scene.column("retry", 2) == [0, 0]
    assert scene.column("refusal.not_idempotent", 2) == [1, 0]


def test_reasons_that_never_held_take_no_room() -> None:
    scene = Scene()
    scene.request(200)
    scene.turn()

    assert [name for name in scene.history.series["payments"].rows(0, 1) if name.startswith("refusal")] == []


def test_the_columns_agree_with_the_counters_since_the_start_over_any_number_of_rows() -> None:
    scene = Scene()
    for second in range(60):
        for number in range(second % 7):
            scene.request(503 if number == 0 else 200)
        scene.turn()
    tally = scene.payments.tally

    assert sum(scene.column("requests", 60)) == tally.requests_total
    assert sum(sum(scene.column(kind, 60)) for kind in ("first", "retry", "reconnect")) == tally.attempts_total
    assert sum(scene.column("failed", 60)) == tally.requests[Result.SERVER_ERROR]
    assert sum(scene.column("refusal.not_idempotent", 60)) == tally.refusals[Refusal.NOT_IDEMPOTENT]


def test_retries_are_told_from_first_attempts() -> None:
    scene = Scene()
    exchange = RetryState(scene.payments, scene.clock.now, math.inf)
    exchange.admit(scene.clock.now)
    assert isinstance(exchange.on_status(scene.clock.now, 503, None), Retry)
    exchange.depart(scene.clock.now + 0.01)
    exchange.on_status(scene.clock.now + 0.02, 200, None)
    exchange.finish(scene.clock.now + 0.02, Result.SUCCESS)
    scene.turn()

    assert (scene.column("first", 1), scene.column("retry", 1)) == ([1], [1])
    assert scene.column("amplification", 1) == [2.0]


def test_levels_and_measures_are_those_at_the_end_of_the_second() -> None:
    scene = Scene()
    for seconds in (0.009, 0.009, 0.2):
        scene.request(200, seconds)
    waiting = RetryState(scene.payments, scene.clock.now, math.inf)
    waiting.admit(scene.clock.now)
    scene.turn()

    assert scene.column("in_flight", 1) == [1]
    assert scene.column("limit", 1) == [int(scene.payments.limiter.limit)]
    assert scene.column("balance", 1) == [round(scene.payments.budget.balance(scene.clock.now), 2)]
    assert 0.005 < scene.column("p50", 1)[0] <= 0.01
    assert 0.1 < scene.column("p99", 1)[0] <= 0.25


def test_quantiles_are_of_the_last_ten_seconds_and_none_without_requests() -> None:
    scene = Scene()
    scene.request(200, 2.0)
    for _ in range(12):
        scene.turn()

    p99 = scene.column("p99", 12)

    assert all(1.0 < value <= 2.5 for value in p99[:10])
    assert all(map(math.isnan, p99[10:]))


def test_the_longest_of_late_is_the_bound_of_its_quantiles_and_is_forgotten_with_the_rows() -> None:
    scene = Scene()
    scene.request(200, 10.2)
    scene.turn()
    for _ in range(12):
        scene.request(200, 0.3)
        scene.turn()

    p99 = scene.column("p99", 13)
    assert p99[0] == pytest.approx(10.2, abs=0.01)
    assert p99[-1] == pytest.approx(0.3, abs=0.01)


def test_a_destination_without_traffic_has_no_series_and_gets_one_with_its_first_request() -> None:
    scene = Scene()
    scene.turn()
    before = dict(scene.history.series)
    scene.request(200)
    scene.turn()

    assert before == {}
    assert scene.column("requests", 2) == [0, 1]


def test_the_ring_holds_the_last_fifteen_minutes_and_no_more() -> None:
    scene = Scene()
    for second in range(ROWS + 10):
        if second % 2:
            scene.request(200)
        scene.turn()

    first = scene.history.first_row()
    times = scene.history.times(first, ROWS)

    assert first == 10
    assert times == [101.0 + second for second in range(10, ROWS + 10)]
    assert scene.column("requests", ROWS) == [second % 2 for second in range(10, ROWS + 10)]


def test_the_bound_is_one_plus_the_ratio_plus_the_free_retries_over_the_requests() -> None:
    scene = Scene(DestinationPolicy(budget=BudgetPolicy(ratio=0.2, min_retries=3)))
    for _ in range(30):
        scene.request(200)
    scene.turn()

    assert scene.column("bound", 1) == [pytest.approx(1 + 0.2 + 3 / 30)]


def test_the_bound_remembers_what_was_allowed_when_there_were_more_requests_and_never_exceeds_max_attempts() -> None:
    scene = Scene(DestinationPolicy(budget=BudgetPolicy(ratio=0.2, min_retries=3)))
    for _ in range(30):
        scene.request(200)
    scene.turn()
    for _ in range(9):
        scene.turn()
    scene.request(200)
    scene.turn()  # the thirty have left the window, what they allowed was allowed in it

    assert scene.column("bound", 1) == [3.0]


def test_amplification_never_exceeds_its_bound_in_a_storm() -> None:
    for state in (storm(90, after=20), storm(60, after=20, hang=6.0)):
        series = state.history.series["payments"].rows(0, state.history.row)
        pairs = list(zip(series["amplification"], series["bound"], strict=True))

        assert max(amplification for amplification, _ in pairs) > 1.005
        assert [pair for pair in pairs if pair[0] > pair[1]] == []


def test_no_transition_of_the_breaker_between_two_rows_is_lost() -> None:
    scene = Scene(DestinationPolicy(breaker=BreakerPolicy(consecutive_failures=2, open=0.01, max_open=0.01)))
    for _ in range(2):
        scene.request(503)
    for _ in range(20):
        scene.clock.now += 0.03
        scene.request(503)  # the probe, which fails
    scene.turn()

    told = scene.history.series["payments"].transitions(0.0)

    assert [state for _, state in told[:4]] == ["closed", "open", "half_open", "open"]
    assert told[1][0] == pytest.approx(100.01)
    assert [state for _, state in told].count("open") == scene.payments.breaker.transitions[BreakerState.OPEN] == 21
    assert scene.history.series["payments"].lost == 0


def test_transitions_that_come_too_fast_to_be_remembered_are_counted() -> None:
    scene = Scene(DestinationPolicy(breaker=BreakerPolicy(consecutive_failures=2, open=0.01, max_open=0.01)))
    for _ in range(400):
        scene.clock.now += 0.03
        scene.request(503)
    made = sum(scene.payments.breaker.transitions.values())
    scene.turn()

    series = scene.history.series["payments"]

    assert series.lost > 0
    assert series.lost + len(series.transitions(0.0)) - 1 == made


def test_a_breaker_that_flaps_all_day_takes_bounded_room() -> None:
    scene = Scene(DestinationPolicy(breaker=BreakerPolicy(consecutive_failures=1, open=0.01, max_open=0.01)))
    for _ in range(400):
        for _ in range(20):
            scene.clock.now += 0.03
            scene.request(503)
        scene.turn(0.0)

    assert len(scene.history.series["payments"].transitions(-math.inf)) <= module.TRANSITIONS + 1


def test_transitions_since_an_instant_begin_with_the_state_that_held_then() -> None:
    scene = Scene(DestinationPolicy(breaker=BreakerPolicy(consecutive_failures=1, open=0.25, max_open=0.25)))
    scene.request(503)
    scene.turn()
    scene.request(200)
    scene.turn()

    told = scene.history.series["payments"].transitions(scene.clock.now - 1.5)

    assert [state for _, state in told] == ["open", "half_open", "recovering", "closed"]


def test_a_destination_that_is_no_longer_in_force_keeps_its_rows_for_fifteen_minutes() -> None:
    scene = Scene()
    scene.request(200)
    scene.turn()
    for _ in range(ROWS - 1):
        scene.clock.now += 1
        scene.history.sample({})
    kept = scene.column("requests", ROWS)
    scene.clock.now += 1
    scene.history.sample({})

    assert kept == [1, *[0] * (ROWS - 1)]
    assert scene.history.series == {}


def test_the_number_of_series_is_bounded_and_those_left_out_are_named() -> None:
    scene = Scene()
    crowd = {f"d{number:03}": destination(f"d{number:03}") for number in range(MAX_DESTINATIONS + 5)}
    for one in crowd.values():
        one.tally.requests[Result.SUCCESS] = 1
    for _ in range(3):
        scene.history.sample(crowd)

    assert len(scene.history.series) == MAX_DESTINATIONS
    assert scene.history.left_out == {f"d{MAX_DESTINATIONS + number:03}" for number in range(5)}


def test_names_left_out_are_forgotten_when_they_are_no_longer_in_force() -> None:
    history = History(Clock())
    for generation in range(5):
        named = {f"g{generation}-{number}": destination(f"g{generation}-{number}") for number in range(150)}
        for one in named.values():
            one.tally.requests[Result.SUCCESS] = 1
        history.sample(named)

    assert history.left_out == set(named)


def test_ten_thousand_destinations_and_exchanges_a_second_take_no_more_room_than_a_hundred() -> None:
    named = {f"service-{number}": destination(f"service-{number}") for number in range(10_000)}
    for one in named.values():
        one.tally.requests[Result.SUCCESS] = 1
    history = History(Clock())

    tracemalloc.start()
    for number, name in enumerate(named):
        history.record(replace(RECORD, destination=name, target=f"/{number}/" + "x" * 500, request_id=str(number)))
    kept_in_its_second = len(history.exchanges) + sum(map(len, history._alike.values()))
    history.sample(named)
    room, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (len(history.series), len(history.exchanges)) == (MAX_DESTINATIONS, EXCHANGES)
    assert len(history.left_out) == 10_000 - MAX_DESTINATIONS
    assert kept_in_its_second <= EXCHANGES + ALIKE * 64
    assert room < 16 << 20  # 130 kB for each of a hundred, and the names left out
    assert peak < 20 << 20


def test_lately_sums_the_last_ten_rows() -> None:
    scene = Scene()
    for _ in range(20):
        for status in (200, 200, 503):
            scene.request(status)
        scene.turn()

    lately = scene.history.lately("payments")

    assert lately is not None
    assert lately.seconds == 10.0
    assert (lately.counts["requests"], lately.counts["failed"]) == (30, 10)
    assert lately.refusals == {"not_idempotent": 10}
    assert lately.silent == 0.0


def test_silence_is_counted_from_the_last_answer() -> None:
    scene = Scene()
    scene.request(200)
    scene.turn()
    for _ in range(4):
        scene.turn()

    lately = scene.history.lately("payments")

    assert lately is not None
    assert lately.silent == 4.0
    assert scene.history.lately("nobody") is None


def test_a_row_that_came_late_says_when_it_came() -> None:
    scene = Scene()
    scene.request(200)
    scene.turn()
    scene.turn(5.0)

    assert scene.history.times(0, 2) == [101.0, 106.0]


def test_the_last_exchanges_are_kept_and_no_more() -> None:
    history = History(lambda: 1.0)
    for number in range(EXCHANGES + 10):
        history.record(replace(RECORD, request_id=f"r-{number}"))
        history.sample({})

    assert [one.record.request_id for one in history.exchanges] == [f"r-{n}" for n in range(10, EXCHANGES + 10)]
    assert history.noted == EXCHANGES + 10


def test_exchanges_alike_in_one_second_are_counted_so_that_others_are_still_seen() -> None:
    history = History(lambda: 1.0)
    for _ in range(1000):
        history.record(RECORD)
    history.record(replace(RECORD, status=200, result="success", refusal=None))

    assert [one.record.result for one in history.exchanges] == ["server_error"] * ALIKE + ["success"]
    assert [one.alike for one in history.exchanges] == [0, 0, 1000 - ALIKE, 0]


def test_the_next_second_begins_to_keep_anew() -> None:
    history = History(lambda: 1.0)
    for _ in range(10):
        history.record(RECORD)
    history.sample({})
    history.record(RECORD)
    history.sample({})

    assert len(history.exchanges) == ALIKE + 1
    assert history.noted_before == ALIKE


def test_kinds_of_exchanges_are_bounded_too() -> None:
    history = History(lambda: 1.0)
    for number in range(10_000):
        history.record(replace(RECORD, destination=f"d{number}"))

    assert len(history._alike) == module.KINDS_OF_EXCHANGE


async def test_whoever_waits_for_the_next_row_is_told_and_may_go_away() -> None:
    history = History(lambda: 1.0)
    gone, waits = asyncio.ensure_future(history.turned()), asyncio.ensure_future(history.turned())
    await turn()
    gone.cancel()
    await turn()

    history.sample({})
    await asyncio.wait_for(waits, 1)

    assert gone.cancelled()


class BeatLoop(FakeLoop):
    def call_at(self, at: float, call: Callable[[], None]) -> object:
        return self.call_later(at - self.now, call)


def test_the_sampler_takes_a_row_every_second_on_the_beat() -> None:
    loop = BeatLoop()
    history = History(loop.time)
    sampler = Sampler(loop, history, dict)  # type: ignore[arg-type]

    sampler.start()
    loop.advance(10.5)
    sampler.stop()
    loop.advance(5.0)

    assert list(history.times(0, history.row)) == [1000.0 + number for number in range(1, 11)]


def test_a_row_that_is_late_does_not_move_the_beat() -> None:
    loop = BeatLoop()
    history = History(loop.time)
    Sampler(loop, history, dict).start()  # type: ignore[arg-type]

    loop.now += 3.4  # the loop was held up
    loop.advance(0.0)
    loop.advance(1.0)

    assert list(history.times(0, history.row)) == [1003.4, 1004.0]


def test_a_fault_counts_as_failed_and_a_caller_who_left_as_abandoned() -> None:
    scene = Scene()
    for leaves in (False, True):
        exchange = RetryState(scene.payments, scene.clock.now, -math.inf)
        exchange.admit(scene.clock.now)
        if leaves:
            exchange.abandon(scene.clock.now)
            exchange.finish(scene.clock.now, Result.ABANDONED)
        else:
            exchange.on_fault(scene.clock.now, Fault.RESET, sent=True)
            exchange.finish(scene.clock.now, Result.FAULT)
    scene.payments.tally.attempts[AttemptKind.RECONNECT][Result.SUCCESS] += 1
    scene.turn()

    assert (scene.column("failed", 1), scene.column("abandoned", 1)) == ([1], [1])
    assert scene.column("reconnect", 1) == [1]
