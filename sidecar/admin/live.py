"""The JSON of the live page: everything at once, or as the messages of a stream.

The stream is `hello`, then `rows` until nothing is missing, then with each row of the history `rows` and `now`. Times
are seconds since 1970; rows are numbered from the start of the process, which `epoch` tells from any other.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from sidecar import __version__
from sidecar.admin.key_summary import key_summary
from sidecar.admin.state import AdminState
from sidecar.admin.views import INDEX, view_of
from sidecar.engine.destination import Destination
from sidecar.telemetry.headline import Headline, Standing, headline
from sidecar.telemetry.history import ROW_SECONDS, ROWS, Lately, Noted
from sidecar.telemetry.observation import sentence

MAX_TEXT: Final = 200
_NOTHING: Final = Lately(ROW_SECONDS, {}, {}, 0.0)

Message = dict[str, object]


class Live:
    """Reads one AdminState. `clock` gives the engine's time, `wall` the time of day, both in seconds."""

    def __init__(self, state: AdminState, clock: Callable[[], float], wall: Callable[[], float] = time.time) -> None:
        self._state = state
        self._history = state.history
        self._clock = clock
        self._wall = wall
        self.epoch = f"{wall():.3f}"

    @property
    def row(self) -> int:
        """The number of the next row."""
        return self._history.row

    @property
    def noted_before(self) -> int:
        """The number of the first exchange of the last row."""
        return self._history.noted_before

    @property
    def names(self) -> list[str]:
        """The destinations that have rows."""
        return list(self._history.series)

    def first_row(self, count: int = ROWS) -> int:
        """The oldest of the last `count` rows that there still is."""
        return self._history.first_row(count)

    async def turned(self) -> None:
        """Wait for the next row."""
        await self._history.turned()

    def hello(self) -> Message:
        """The part that is constant for the life of the process."""
        return {
            "epoch": self.epoch,
            "version": __version__,
            "service": self._state.policy_view().get("service", ""),
            "row_seconds": ROW_SECONDS,
            "rows": ROWS,
            "addresses": INDEX,
        }

    def rows(self, names: Iterable[str], first: int) -> Message:
        """All columns of some destinations, from row number `first` to the last one."""
        history = self._history
        count = history.row - first
        ahead = self._wall() - self._clock()
        times = history.times(first, count)
        since = times[0] - ROW_SECONDS if times else 0.0
        series: dict[str, object] = {}
        transitions: dict[str, object] = {}
        lost: dict[str, int] = {}
        for name in names:
            of_name = history.series[name]
            series[name] = of_name.rows(first, count)
            transitions[name] = [(round(at + ahead, 3), state) for at, state in of_name.transitions(since)]
            lost[name] = of_name.lost
        return {
            "first": first,
            "times": [round(at + ahead, 2) for at in times],
            "series": series,
            "transitions": transitions,
            "transitions_lost": lost,
        }

    def now(self, noted: int = 0) -> Message:
        """The state of everything at this instant, with the exchanges from number `noted` on."""
        state = self._state
        now = self._clock()
        ahead = self._wall() - now
        endpoints = state.endpoints()
        lately = {name: self._history.lately(name) or _NOTHING for name in state.destinations}
        standings = {
            name: self._standing(name, destination, lately[name], now)
            for name, destination in state.destinations.items()
        }
        verdict = headline(list(standings.values()))
        connections = state.connections()
        return {
            "row": self.row,
            "at": round(now + ahead, 3),
            "headline": _said(verdict),
            "ready": list(state.ready()),
            "observing": {name: sentence(name, shadow, now) for name, shadow in state.observations.items()},
            "policy": {
                "version": state.policy.version,
                "digest": state.policy.digest,
                "loaded_at": state.reloads.loaded_at,
                "error": state.reloads.error,
            },
            "event_loop_lag": round(state.event_loop_lag, 4),
            "connections": {"downstream": connections.downstream, "tunnels": connections.tunnels},
            "rejections": {reason: count for reason, count in state.rejections.items() if count},
            "bypassing": {name: count for name, count in connections.bypassing.items() if count},
            "keys": key_summary(state),
            "undeclared": {method: count for method, count in state.undeclared.items() if count},
            "log_lines_dropped": dict(state.log_lines_dropped),
            "left_out": sorted(self._history.left_out),
            "destinations": [
                {
                    "name": name,
                    "endpoints": list(endpoints.get(name, ())),
                    "level": standings[name].level.value,
                    "lately": _told(lately[name], standings[name]),
                    **view_of(destination, now),
                    "limits": _limits(destination),
                }
                for name, destination in state.destinations.items()
            ],
            "noted": self._history.noted,
            "exchanges": [exchange(one, ahead) for one in self._history.exchanges if one.number >= noted],
        }

    async def document(self, count: int = ROWS) -> bytes:
        """Everything, with the last `count` rows. Other work goes on between two destinations."""
        first = self.first_row(count)
        parts: dict[str, dict[str, msgspec.Raw]] = {"series": {}, "transitions": {}, "transitions_lost": {}}
        times: object = []
        for name in self.names or [""]:
            rows = self.rows([name] if name else [], first)
            times = rows["times"]
            for part, encoded in parts.items():
                of_names = rows[part]
                if isinstance(of_names, Mapping) and name in of_names:
                    encoded[name] = msgspec.Raw(encode(of_names[name]))
            await asyncio.sleep(0)
        return encode({**self.hello(), **self.now(), "history": {"first": first, "times": times, **parts}})

    def _standing(self, name: str, destination: Destination, lately: Lately, now: float) -> Standing:
        counts = lately.counts
        requests = counts.get("requests", 0)
        return Standing(
            name=name,
            seconds=lately.seconds,
            requests=requests,
            bad=counts.get("failed", 0) + counts.get("refused", 0) + counts.get("abandoned", 0),
            retries=counts.get("retry", 0),
            amplification=destination.amplification(now),
            bound=self._bound(name),
            breaker=destination.breaker.state(now).value,
            in_flight=destination.limiter.awaited,
            silent=lately.silent,
            per_attempt_timeout=destination.policy.per_attempt_timeout,
            refusals=lately.refusals,
            failed=counts.get("failed", 0),
            refused=counts.get("refused", 0),
            held=lately.held,
            limit=destination.limiter.limit,
            limit_state=destination.limiter.state.value,
            waiting=len(destination.limiter.waiting),
            budget=destination.policy.budget,
        )

    def _bound(self, name: str) -> float:
        series = self._history.series.get(name)
        return float(series.columns["bound"][(self.row - 1) % ROWS]) if series is not None and self.row else 1.0


def encode(message: object) -> bytes:
    """As JSON. What is not a number is null."""
    return msgspec.json.encode(message, enc_hook=str)


def exchange(noted: Noted, ahead: float) -> Message:
    """A notable exchange with its attempts; `ahead` is what the time of day is ahead of the engine's."""
    record = noted.record
    return {
        "number": noted.number,
        "at": round(noted.at + ahead, 3),
        "alike": noted.alike,
        "destination": record.destination,
        "method": record.method[:MAX_TEXT],
        "target": record.target[:MAX_TEXT],
        "status": record.status,
        "outcome": record.result,
        "answered_by": record.answered_by,
        "seconds": round(record.seconds, 5),
        "waited": round(record.waited, 5),
        "refusal": record.refusal,
        "breaker": record.breaker,
        "budget": round(record.budget_balance, 2),
        "policy_version": record.policy_version,
        "request_id": record.request_id[:MAX_TEXT],
        "trace_id": record.trace_id,
        "attempts": [
            {
                "n": attempt.number,
                "kind": attempt.kind,
                "endpoint": attempt.endpoint,
                "outcome": attempt.outcome,
                "began": round(attempt.began, 5),
                "seconds": round(attempt.seconds, 5),
                "backoff": round(attempt.backoff, 5),
                "late": attempt.late,
            }
            for attempt in record.attempts
        ],
    }


def _said(verdict: Headline) -> Message:
    return {
        "level": verdict.level.value,
        "words": verdict.words,
        "detail": verdict.detail,
        "towards": list(verdict.towards),
    }


def _told(lately: Lately, standing: Standing) -> Message:
    return {
        "seconds": round(lately.seconds, 3),
        "requests": standing.requests,
        "bad": standing.bad,
        "amplification": round(standing.amplification, 3),
        "bound": round(standing.bound, 3),
        "silent": standing.silent if standing.is_silent else 0.0,
        "few": standing.is_quiet,
        "limited": standing.limited,
        "held": standing.held,
        **{name: count for name, count in lately.counts.items() if name != "requests"},
        "refusals": lately.refusals,
    }


def _limits(destination: Destination) -> Message:
    """The numbers of its policy that bound amplification."""
    policy = destination.policy
    return {
        "max_attempts": policy.retry.max_attempts,
        "budget_ratio": policy.budget.ratio,
        "budget_window": policy.budget.window,
        "min_retries": policy.budget.min_retries,
        "timeout": policy.timeout,
        "per_attempt_timeout": policy.per_attempt_timeout,
    }
