"""Documents of storms that went by in virtual time."""

import asyncio
from collections.abc import Mapping
from functools import cache

from sidecar.admin.live import Live
from sidecar.engine.destination import Destination
from sidecar.engine.outcome import AttemptKind, Result
from sidecar.engine.policy import DestinationPolicy
from sidecar.engine.verdict import Refusal
from sidecar.telemetry.history import History
from sidecar.watch.document import LiveDocument, Rows, decode
from tests.admin.scenery import SceneClock, ShownState, storm

BEGAN = 1_790_000_000.0
"""The wall time of the engine's second 0."""


def content_of(state: ShownState) -> bytes:
    live = Live(state, state.clock, lambda: BEGAN + state.clock.now)
    return asyncio.run(live.document())


@cache
def after_a_storm() -> LiveDocument:
    """Ninety seconds, in which payments answered 503 from 45 to 70."""
    return decode(content_of(storm(90, after=20)), "here")


@cache
def after_a_hang() -> LiveDocument:
    """Ninety seconds, in which payments finished nothing from 64 to 70."""
    return decode(content_of(storm(90, after=20, hang=6.0)), "here")


def rows(columns: Mapping[str, list[float | None]], name: str = "payments") -> Rows:
    """Rows of one destination, a second each."""
    count = max(map(len, columns.values()))
    return Rows(0, [BEGAN + 1 + second for second in range(count)], {name: dict(columns)}, {name: [(None, "closed")]})


@cache
def after_a_limit_of_ours() -> LiveDocument:
    """Twenty seconds, in ten of which our limit refused a quarter of the requests; all that was sent was answered."""
    clock = SceneClock()
    payments = Destination("payments", DestinationPolicy(), lambda: 0.5, 0.0)
    state = ShownState(destinations={"payments": payments}, history=History(clock), clock=clock)
    for second in range(20):
        payments.tally.requests[Result.SUCCESS] += 30
        payments.tally.attempts[AttemptKind.FIRST][Result.SUCCESS] += 30
        if 5 <= second < 15:
            payments.tally.requests[Result.REFUSED] += 10
            payments.tally.refusals[Refusal.CONCURRENCY_LIMIT] += 10
        clock.now += 1.0
        state.history.sample(state.destinations)
    return decode(content_of(state), "here")
