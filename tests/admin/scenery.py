"""Minutes of traffic in virtual time, for what shows them: three destinations, one of which goes through a storm.

The engine decides everything, as in the proxy; only the dependency and the clock are made up.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from msgspec.structs import replace

from sidecar.engine.destination import Destination
from sidecar.engine.outcome import Result
from sidecar.engine.policy import DestinationPolicy
from sidecar.engine.verdict import Refusal, Retry, Verdict
from sidecar.telemetry.history import History
from sidecar.telemetry.record import AttemptRecord, ExchangeRecord
from tests.admin.states import SetState
from tests.engine.fleet import Call, Fleet, Load, Trouble

TARGETS = ("/charges", "/charges/ch_8801", "/refunds", "/balance")
ENDPOINT = "http://10.0.0.{}:8080"

SETTINGS: Mapping[str, tuple[str, str, str]] = {
    "budget.ratio": ("0.1", "default", "policy.yaml:14"),
    "budget.window": ("10s", "default", "policy.yaml:14"),
    "breaker.open": ("250ms", "baseline", "built in"),
    "retry.max_attempts": ("3", "default", "policy.yaml:7"),
    "timeout": ("3s", "override", "sidecar.yaml:12"),
}
EXCEPTION = {
    "id": "EX-2026-014",
    "state": "live",
    "remaining_seconds": 950_000.0,
    "begins": "2026-11-24T00:00:00+00:00",
    "expires": "2026-12-05T00:00:00+00:00",
    "destination": "ledger",
    "setting": "budget.ratio",
    "value": "0.35",
    "uses": 12,
    "owner": "team-payments",
    "approved_by": ["a.lee", "b.ortiz"],
    "ticket": "PAY-812",
    "reason": "Month-end batch; ledger confirmed 3x headroom",
    "place": "policy.yaml:41",
}


class SceneClock:
    """The engine's time: what it is set to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class ShownState(SetState):
    """A state with a policy whose numbers have origins."""

    granted: list[Mapping[str, object]] = field(default_factory=list)
    clock: "SceneClock" = field(default_factory=lambda: SceneClock())

    def endpoints(self) -> Mapping[str, list[str]]:
        return {name: [ENDPOINT.format(n) for n in (1, 2)] for name in self.destinations}

    def policy_view(self) -> Mapping[str, object]:
        origins = {
            setting: {"value": value, "source": source, "place": place}
            for setting, (value, source, place) in SETTINGS.items()
        }
        return {
            "version": 7,
            "owner": "platform-reliability",
            "digest": "3f2a9c1d77e0" + "0" * 52,
            "service": "checkout",
            "files": ["sidecar.yaml", "policy.yaml"],
            "destinations": dict.fromkeys(self.destinations, origins),
            "exceptions": self.granted,
        }


class _NotedCall(Call):
    """A call that is told of as the proxy tells of exchanges."""

    fleet: "_NotedFleet"

    def __init__(self, fleet: "_NotedFleet", destination: Destination) -> None:
        self.trail: list[AttemptRecord] = []
        self.endpoint = fleet.random.randrange(1, 3)
        self.backoff = 0.0
        super().__init__(fleet, destination)

    def heed(self, verdict: Verdict, status: int) -> None:
        now, exchange = self.fleet.agenda.now, self.exchange
        number = len(self.trail) + 1
        self.trail.append(
            AttemptRecord(
                number,
                "first" if number == 1 else "retry",
                ENDPOINT.format(self.endpoint),
                "timeout" if status == 504 else str(status),
                now - exchange.attempt_began,
                self.backoff,
                exchange.attempt_began - self.began,
            )
        )
        self.endpoint = 3 - self.endpoint
        self.backoff = verdict.delay if isinstance(verdict, Retry) else 0.0
        super().heed(verdict, status)

    def end(self, status: int, result: Result, refusal: Refusal | None) -> None:
        super().end(status, result, refusal)
        if refusal is None and len(self.trail) == 1 and status == 200:
            return
        fleet = self.fleet
        fleet.history.record(
            ExchangeRecord(
                destination=fleet.name,
                method="GET",
                target=fleet.random.choice(TARGETS),
                status=status,
                result=result.label,
                seconds=fleet.agenda.now - self.began,
                attempts=tuple(self.trail),
                refusal=None if refusal is None else refusal.value,
                budget_balance=1.0,
                breaker="closed",
                policy_version=7,
                request_id=f"r-{len(fleet.calls)}",
                trace_id=None,
            )
        )


@dataclass
class _NotedFleet(Fleet):
    name: str = ""
    history: History = field(default_factory=lambda: History(lambda: 0.0))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.destinations = [Destination(self.name, self.policy, self.random.random, 0.0)]

    def _arrive(self) -> None:
        now = self.agenda.now
        if now >= self.load.until:
            return
        if now > 0:
            self.calls.append(_NotedCall(self, self.destinations[0]))
        self.agenda.at(now + self.random.expovariate(self.load.rate), self._arrive)


def latency(typical: float) -> Callable[[Random], float]:
    return lambda random: random.lognormvariate(0.0, 0.35) * typical


def storm(seconds: int = 240, *, after: int = 30, hang: float = 0.0) -> ShownState:
    """`payments` fails with 503 for 25 seconds, and has been well again for `after` when `seconds` are over.

    `ledger` fails one in thirty, `search` never. With `hang`, payments finishes nothing for that long instead.
    """
    policy = DestinationPolicy(timeout=3.0, per_attempt_timeout=0.8)
    ends = float(seconds - after)
    trouble = Trouble(ends - hang, ends, speed=0.001) if hang else Trouble(ends - 25, ends, status=503)
    clock = SceneClock()
    history = History(clock)
    plans = (
        ("payments", 60.0, 24, 0.012, trouble, 0.01),
        ("ledger", 14.0, 24, 0.03, None, 0.03),
        ("search", 110.0, 24, 0.005, None, 0.0),
    )
    fleets = [
        _NotedFleet(
            replace(policy),
            workers,
            latency(typical),
            Load(rate, seconds + 1.0),
            wrong,
            failing=failing,
            seed=number,
            name=name,
            history=history,
        )
        for number, (name, rate, workers, typical, wrong, failing) in enumerate(plans)
    ]
    for fleet in fleets:
        fleet._arrive()
    destinations = {fleet.name: fleet.destinations[0] for fleet in fleets}
    for second in range(1, seconds + 1):
        clock.now = float(second)
        for fleet in fleets:
            fleet.agenda.run(clock.now)
        history.sample(destinations)
    return ShownState(destinations=destinations, history=history, clock=clock)
