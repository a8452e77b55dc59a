"""Healthy dependencies and their callers, as `config/harmless.yaml` says it."""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import NormalDist
from typing import Any, TypeVar

import yaml

from loadtest.child import ROOT
from sidecar.governance.documents.units import Duration

SITUATIONS = ROOT / "config" / "harmless.yaml"
LOGNORMAL_SIGMA = 0.7
"""Spread of the logarithm: the 99th percentile is four times the mean."""

_NORMAL = NormalDist()
_Entry = TypeVar("_Entry")


@dataclass(frozen=True, slots=True)
class Phase:
    """How long answers take from `at` on, in seconds. The file says what each field means."""

    at: float = 0.0
    takes: float = 0.02
    to: float | None = None
    share: float = 0.0
    slow: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of request: how often, and what its answer is like. The file says what each field means."""

    name: str
    rate: float = 0.0
    callers: int = 0
    burst: int = 0
    at: float = 0.0
    begins: float = 0.0
    ends: float = math.inf
    method: str = "GET"
    takes: float = 0.02
    phases: tuple[Phase, ...] = ()
    share: float = 0.0
    slow: float = 0.0
    spread: str = "fixed"
    patience: float = 60.0
    status: int = 200
    bytes: int = 20
    read: float = 0.0
    upload: int = 0
    drip: float = 0.0
    events: int = 0
    every: float = 0.0
    fresh: bool = False

    def seconds(self, now: float, first: float, second: float, ends: float) -> float:
        """How long the answer takes to a request that arrives at `now`.

        `first` and `second` are the request's own dice, from 0 to 1: how long beside the mean, and whether it is one of
        the slow. `ends` is the end of the situation, where the last change of pace ends too.
        """
        phases = self.phases
        number = bisect_right(phases, now, key=lambda phase: phase.at) - 1
        phase = phases[max(0, number)]
        if second < phase.share:
            return phase.slow * self._factor(first)
        mean = phase.takes
        if phase.to is not None:
            until = phases[number + 1].at if number + 1 < len(phases) else ends
            done = min(1.0, max(0.0, (now - phase.at) / (until - phase.at)))
            mean += (phase.to - mean) * done
        return mean * self._factor(first)

    def _factor(self, dice: float) -> float:
        """The mean of all is 1."""
        match self.spread:
            case "even":
                return 0.5 + dice
            case "exponential":
                return -math.log(1.0 - dice)
            case "lognormal":
                return math.exp(
                    _NORMAL.inv_cdf(min(max(dice, 1e-9), 1 - 1e-9)) * LOGNORMAL_SIGMA - LOGNORMAL_SIGMA**2 / 2
                )
            case _:
                return 1.0


@dataclass(frozen=True, slots=True)
class Deploy:
    """The endpoints are replaced one after the other. The file says what each field means."""

    at: float
    every: float
    gone: float

    def is_gone(self, endpoint: int, now: float, margin: float = 0.0) -> bool:
        """Whether that endpoint takes no connections at `now`, or less than `margin` before or after."""
        began = self.at + endpoint * self.every
        return began - margin <= now < began + self.gone + margin


@dataclass(frozen=True, slots=True)
class Situation:
    """A healthy dependency and its callers. Times in seconds; the file says what each field means."""

    name: str
    title: str
    calls: tuple[Call, ...]
    group: str = ""
    seconds: float = 10.0
    proxies: int = 1
    endpoints: int = 1
    workers: int = 0
    factors: tuple[float, ...] = ()
    pause: float = 0.0
    pause_every: float = 0.0
    deploy: Deploy | None = None
    per_connection: int = 0
    keep_alive: float = 0.0
    apart: bool = False

    def paused_until(self, endpoint: int, now: float) -> float:
        """Until when the endpoint does nothing at all; `now` where it works. Endpoints pause one after the other."""
        if not self.pause or now < 0:
            return now
        shifted = now - endpoint * self.pause_every / self.endpoints
        into = shifted % self.pause_every
        return now + self.pause - into if shifted >= self.pause_every / 2 and into < self.pause else now

    def factor(self, endpoint: int) -> float:
        """How many times as long as elsewhere answers of that endpoint take."""
        return self.factors[endpoint] if self.factors else 1.0


_DURATIONS = frozenset(
    "at begins drip ends every gone keep_alive patience pause pause_every seconds slow takes to".split()  # noqa: SIM905
)
_SPREADS = {"fixed", "even", "exponential", "lognormal"}


def situations(path: Path = SITUATIONS) -> dict[str, Situation]:
    """All situations of the file by name, in its order. Raises ValueError for what it does not know."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {name: _situation(name, {**document["defaults"], **said}) for name, said in document["situations"].items()}


def _situation(name: str, said: Mapping[str, Any]) -> Situation:
    apart = {"calls", "deploy", "factors"}
    rest = _read(name, {key: value for key, value in said.items() if key not in apart}, Situation)
    calls = tuple(_call(f"{name}: {kind}", kind, each) for kind, each in said["calls"].items())
    deploy = Deploy(**_read(f"{name}: deploy", said["deploy"], Deploy)) if "deploy" in said else None
    factors = tuple(float(factor) for factor in said.get("factors", ()))
    situation = Situation(name=name, calls=calls, deploy=deploy, factors=factors, **rest)
    if factors and len(factors) != situation.endpoints:
        raise ValueError(f"{name}: factors: must be {situation.endpoints}, one for each endpoint")
    return situation


def _call(where: str, name: str, said: Mapping[str, Any]) -> Call:
    phases = [Phase(**_read(f"{where}: phases", phase, Phase)) for phase in said.get("phases", ())]
    rest = _read(where, {key: value for key, value in said.items() if key != "phases"}, Call)
    call = Call(name=name, **rest)
    if call.spread not in _SPREADS:
        raise ValueError(f"{where}: spread: must be one of {', '.join(sorted(_SPREADS))}, got {call.spread!r}")
    if sum(map(bool, (call.rate, call.callers, call.burst))) != 1:
        raise ValueError(f"{where}: must have one of rate, callers, burst")
    first = Phase(0.0, call.takes, None, call.share, call.slow)
    if not phases or phases[0].at > 0:
        phases.insert(0, first)
    return Call(name=name, **{**rest, "phases": tuple(phases)})


def _read(where: str, said: Mapping[str, Any], kind: type[_Entry]) -> dict[str, Any]:
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    read = {}
    for key, value in said.items():
        if key not in known:
            raise ValueError(f"{where}: {key} is not known")
        try:
            read[key] = float(Duration.parse(value)) if key in _DURATIONS else value
        except ValueError as error:
            raise ValueError(f"{where}: {key}: {error}, got {value!r}") from None
    return read
