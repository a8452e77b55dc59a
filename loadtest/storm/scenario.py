"""What goes wrong and when, as `config/storms.yaml` says it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import yaml

from loadtest.child import ROOT
from sidecar.governance.documents.units import Duration

STORMS = ROOT / "config" / "storms.yaml"


@dataclass(frozen=True, slots=True)
class Fault:
    """One trouble, in seconds from the beginning of the troubles. The file says what each field means."""

    at: float
    seconds: float = 0.0
    speed: float | None = None
    status: int | None = None
    share: float = 1.0
    retry_after: int | None = None
    down: bool = False
    cold: bool = False
    destination: int | None = None
    endpoint: int | None = None

    def hits(self, destination: int, endpoint: int) -> bool:
        """Whether it happens at this endpoint of that destination."""
        return self.destination in {None, destination} and self.endpoint in {None, endpoint}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A storm. Times in seconds, `rate` per second; the file says what each field means."""

    name: str
    title: str
    faults: tuple[Fault, ...]
    proxies: int
    rate: float
    posts: float
    deadline: float
    timeout: float
    per_try: float
    destinations: int
    endpoints: int
    workers: int
    service: float
    queue: int
    keys: int
    miss: float
    before: float
    trouble: float
    after: float

    @property
    def seconds(self) -> float:
        """How long requests are made."""
        return self.before + self.trouble + self.after

    @property
    def ends(self) -> float:
        """When the trouble is over, from the start."""
        return self.before + self.trouble

    @property
    def workers_each(self) -> int:
        """Workers of one endpoint."""
        return max(1, self.workers // self.endpoints)

    @property
    def capacity(self) -> float:
        """Requests a second that all destinations together can answer."""
        return self.destinations * self.endpoints * self.workers_each / self.service

    def scaled(self, factor: float) -> Self:
        """The same with all parts and troubles `factor` times as long; what clients and work take stays."""
        return replace(
            self,
            before=self.before * factor,
            trouble=self.trouble * factor,
            after=self.after * factor,
            faults=tuple(replace(fault, at=fault.at * factor, seconds=fault.seconds * factor) for fault in self.faults),
        )


_DURATIONS = {"at", "for", "deadline", "timeout", "per_try", "service", "before", "trouble", "after"}
_RENAMED = {"for": "seconds"}


def scenarios(path: Path = STORMS) -> dict[str, Scenario]:
    """All scenarios of the file by name, in its order. Raises ValueError for what it does not know."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {name: _scenario(name, {**document["defaults"], **said}) for name, said in document["scenarios"].items()}


def _scenario(name: str, said: Mapping[str, Any]) -> Scenario:
    faults = tuple(Fault(**_read(f"{name}: faults", fault, Fault)) for fault in said["faults"])
    rest = _read(name, {key: value for key, value in said.items() if key != "faults"}, Scenario)
    return Scenario(name=name, faults=faults, **rest)


def _read(where: str, said: Mapping[str, Any], kind: type[Fault | Scenario]) -> dict[str, Any]:
    known = {field.name for field in fields(kind)}
    read = {}
    for key, value in said.items():
        name = _RENAMED.get(key, key)
        if name not in known:
            raise ValueError(f"{where}: {key} is not known")
        try:
            read[name] = float(Duration.parse(value)) if key in _DURATIONS else value
        except ValueError as error:
            raise ValueError(f"{where}: {key}: {error}, got {value!r}") from None
    return read
