"""A fleet and what happens to it, as a file says it: services, who calls whom, and troubles."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sidecar.governance.documents.decoder import Decoder
from sidecar.governance.documents.document import DestinationName
from sidecar.governance.documents.finding import Finding, InvalidDocument, RuleId
from sidecar.governance.documents.mapping import Document
from sidecar.governance.documents.units import Duration
from sidecar.governance.documents.yaml import Path as Place
from sidecar.governance.documents.yaml import Tree, parse

_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)/s")
DEFAULT_SECONDS: Final = 60.0
UNLIMITED: Final = 1 << 40
"""Workers of a service that works on however many requests at once."""


class Rate(float):
    """Requests per second. Written `50/s`."""

    __slots__ = ()

    @classmethod
    def parse(cls, written: object) -> Self:
        """Read what was written. Raises ValueError with the rule it breaks; a bare number has no unit."""
        match = _RATE.fullmatch(written) if isinstance(written, str) else None
        if match is None or not float(match[1]):
            raise ValueError("must be a rate over 0 with its unit, like 50/s")
        return cls(match[1])

    def __str__(self) -> str:
        return f"{float(self):g}/s"


class Capacity(Rate):
    """Requests per second that are answered at most. Written `50/s`, or `unlimited`."""

    __slots__ = ()

    @classmethod
    def parse(cls, written: object) -> Self:
        """Read what was written. Raises ValueError with the rule it breaks."""
        if written == "unlimited":
            return cls("inf")
        try:
            return super().parse(written)
        except ValueError as error:
            raise ValueError(f"{error}, or unlimited") from None

    def __str__(self) -> str:
        return "unlimited" if math.isinf(self) else super().__str__()


class CacheEntry(Document, frozen=True, kw_only=True):
    """The cache of a service: each request is for one of `keys`, all of them cached at the start.

    One that is not costs `miss` times the work, and is cached from then on.
    """

    keys: Annotated[int, Meta(ge=1, le=10_000_000)]
    miss: Annotated[float, Meta(ge=1, le=1000)]


class ServiceEntry(Document, frozen=True, kw_only=True):
    """One service of the fleet.

    `pods` each have a sidecar of their own. A service with a `rate` is called from outside, so often by each pod; one
    with `callers` by so many to each pod who ask again when they are answered. One with a `capacity`, which may be
    unlimited, or a `utilisation` of it at the rates given, works on requests: first come first served, each for
    a time drawn around `service_time`; its `endpoints` share the workers, and callers choose.
    It then makes its `calls`, one after the other, each with that probability.
    """

    pods: Annotated[int, Meta(ge=1, le=100_000)] = 1
    rate: Rate | UnsetType = UNSET
    callers: Annotated[int, Meta(ge=1, le=100_000)] | UnsetType = UNSET
    deadline: Duration | UnsetType = UNSET
    unsafe: Annotated[float, Meta(ge=0, le=1)] = 0.0
    capacity: Capacity | UnsetType = UNSET
    utilisation: Annotated[float, Meta(ge=0.01, le=10)] | UnsetType = UNSET
    service_time: Duration = Duration(0.02)
    spread: Literal["fixed", "even", "exponential", "lognormal"] = "exponential"
    queue: Annotated[int, Meta(ge=0, le=100_000_000)] | UnsetType = UNSET
    failing: Annotated[float, Meta(ge=0, le=1)] = 0.0
    endpoints: Annotated[int, Meta(ge=1, le=1000)] = 1
    cache: CacheEntry | UnsetType = UNSET
    calls: dict[DestinationName, Annotated[float, Meta(ge=0, le=1)]] = msgspec.field(default_factory=dict)


class TroubleEntry(Document, frozen=True, kw_only=True):
    """One thing that goes wrong, or only changes.

    hang: no work is done; brownout: work at `speed`; cold: from `speed` up to full speed; forget: the cache is empty
    and fills again as requests come, whatever `lasts` says; error: a `share` of the requests is answered with `status`
    at once; dead: connections are refused; restart: the pods are gone and forget everything, and a `backlog` of the
    requests that came meanwhile comes at once when they are back. No trouble, and so no part of what recovery is from:
    slow: a `share` of the requests takes `service_time`, moving evenly to `becomes`; burst: so many more `requests`
    come at once. It happens at one `endpoint`, counted from 0,
    or at all; `times` times, `every` so often.
    """

    service: DestinationName
    kind: Literal["hang", "brownout", "cold", "forget", "error", "dead", "restart", "slow", "burst"]
    at: Duration
    lasts: Duration = Duration(1.0)
    speed: Annotated[float, Meta(ge=0.01, le=1)] = 0.4
    status: Annotated[int, Meta(ge=400, le=599)] = 503
    share: Annotated[float, Meta(ge=0, le=1)] = 1.0
    retry_after: Duration | UnsetType = UNSET
    backlog: Annotated[float, Meta(ge=0, le=1)] = 1.0
    endpoint: Annotated[int, Meta(ge=0, le=999)] | UnsetType = UNSET
    service_time: Duration | UnsetType = UNSET
    becomes: Duration | UnsetType = UNSET
    requests: Annotated[int, Meta(ge=1, le=1_000_000)] | UnsetType = UNSET
    every: Duration | UnsetType = UNSET
    times: Annotated[int, Meta(ge=1, le=1000)] = 1


class ScenarioDocument(Document, frozen=True, kw_only=True):
    """The file. `warm_up` is not counted; requests come for `duration`.

    `expect: harmless`: callers are to be answered as they would be without a sidecar, whatever happens.
    """

    name: str = ""
    seed: int = 1
    duration: Duration = Duration(DEFAULT_SECONDS)
    warm_up: Duration = Duration(5.0)
    policy: str | UnsetType = UNSET
    expect: Literal["harmless"] | UnsetType = UNSET
    services: dict[DestinationName, ServiceEntry]
    trouble: list[TroubleEntry] = msgspec.field(default_factory=list)


HARMLESS: Final = frozenset({"slow", "burst"})


@dataclass(frozen=True, slots=True)
class Service:
    """A ServiceEntry as numbers: seconds, requests per second. `workers` is 0 where there is no work to do.

    `keys` is 0 where there is no cache.
    """

    name: str
    pods: int = 1
    rate: float = 0.0
    callers: int = 0
    deadline: float = float("inf")
    unsafe: float = 0.0
    workers: int = 0
    service_time: float = 0.02
    spread: str = "exponential"
    queue: float = float("inf")
    failing: float = 0.0
    endpoints: int = 1
    keys: int = 0
    miss: float = 1.0
    calls: Mapping[str, float] = field(default_factory=dict)

    @property
    def capacity(self) -> float:
        """Requests per second that its workers answer at full speed."""
        return self.workers / self.service_time

    @property
    def unlimited(self) -> bool:
        """Whether no request ever waits for a worker."""
        return self.workers >= UNLIMITED


@dataclass(frozen=True, slots=True)
class Trouble:
    """The values of a TroubleEntry, for one occurrence."""

    service: str
    kind: str
    begins: float
    ends: float
    speed: float = 1.0
    status: int = 503
    share: float = 1.0
    retry_after: float | None = None
    backlog: float = 1.0
    endpoint: int | None = None
    service_time: float = 0.0
    becomes: float = 0.0
    requests: int = 0

    @property
    def harms(self) -> bool:
        """Whether anything goes wrong; what is slow or comes in a burst is answered as well as ever."""
        return self.kind not in HARMLESS


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fleet, in the order in which services call each other, and what happens to it."""

    name: str
    seed: int
    seconds: float
    warm_up: float
    services: Mapping[str, Service]
    troubles: Sequence[Trouble]
    policy: Path | None = None
    expects_no_harm: bool = False

    @property
    def begins(self) -> float:
        """When the first trouble begins; the end where there is none."""
        return min((trouble.begins for trouble in self.troubles if trouble.harms), default=self.seconds)

    @property
    def ends(self) -> float:
        """When the last trouble is over."""
        return max((trouble.ends for trouble in self.troubles if trouble.harms), default=self.seconds)

    def loads(self) -> dict[str, float]:
        """Requests per second that come to each service when all is well."""
        return loads(self.services)

    def at(self, utilisation: float | None = None, blip: float | None = None) -> Self:
        """The same at another utilisation of every capacity, or with every trouble lasting so many seconds.

        Where one trouble follows another, what comes later moves.
        """
        services, troubles, seconds = self.services, self.troubles, self.seconds
        if utilisation is not None:
            arriving = self.loads()
            services = {
                name: staffed(one, arriving[name] / utilisation) if one.workers and not one.unlimited else one
                for name, one in services.items()
            }
        lasting = [trouble for trouble in troubles if trouble.kind != "forget"]
        if blip is not None and lasting:
            first = lasting[0].ends
            longer = blip - (first - lasting[0].begins)
            moved = []
            for trouble in troubles:
                begins = trouble.begins + (longer if trouble.begins >= first else 0.0)
                ends = begins if trouble.kind == "forget" else trouble.ends + longer
                moved.append(replace(trouble, begins=begins, ends=ends))
            troubles = moved
            seconds = max(seconds, seconds + longer)
        return replace(self, services=services, troubles=troubles, seconds=seconds)

    def reseeded(self, seed: int) -> Self:
        """The same with other dice."""
        return replace(self, seed=seed)

    def shrunk(self, requests: float) -> Self:
        """The same in small, so that it comes to about so many requests; never larger.

        Rates, workers, keys and pods shrink alike, so that each pod sees what it saw.
        """
        per_second = sum(one.rate * one.pods for one in self.services.values())
        share = min(1.0, requests / (per_second * self.seconds))
        services = {}
        for name, one in self.services.items():
            pods = max(1, round(one.pods * share))
            rate = one.rate * one.pods * share / pods
            smaller = replace(one, pods=pods, rate=rate, keys=math.ceil(one.keys * share))
            limited = one.workers and not one.unlimited
            services[name] = staffed(smaller, one.capacity * share) if limited else smaller
        return replace(self, services=services)


def staffed(service: Service, capacity: float) -> Service:
    """The service with workers for so many requests per second.

    A fraction of a worker there is not: the time that each request takes is changed by as much, so that the capacity is
    the one that was asked for.
    """
    if math.isinf(capacity):
        return replace(service, workers=UNLIMITED * service.endpoints)
    workers = service.endpoints * max(1, round(capacity * service.service_time / service.endpoints))
    return replace(service, workers=workers, service_time=workers / capacity)


def loads(services: Mapping[str, Service]) -> dict[str, float]:
    """Requests per second that come to each service when all is well, callers first."""
    coming = {name: one.rate * one.pods for name, one in services.items()}
    for name, one in services.items():
        for callee, share in one.calls.items():
            coming[callee] += coming[name] * share
    return coming


def load(file: Path) -> Scenario:
    """Read a scenario. Raises InvalidDocument with everything that is wrong in it."""
    findings: list[Finding] = []
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InvalidDocument(
            [Finding(str(file), None, "", f"can not be read: {error.strerror or error}", rule_id=RuleId.UNREADABLE)]
        ) from None
    tree = parse(content, str(file))
    decoder = Decoder(tree, findings)
    document = decoder.document(ScenarioDocument, {"services": {}})
    scenario = None if document is None else _Reader(document, decoder, tree, file).scenario()
    if findings or scenario is None:
        raise InvalidDocument(findings)
    return scenario


class _Reader:
    """Checks what the parts of one document say about each other."""

    def __init__(self, document: ScenarioDocument, decoder: Decoder, tree: Tree, file: Path) -> None:
        self._document = document
        self._decoder = decoder
        self._tree = tree
        self._file = file

    def scenario(self) -> Scenario | None:
        document = self._document
        entries = document.services
        if not entries:
            return None  # said already, or nothing else to be said
        for name, entry in entries.items():
            self._check(name, entry)
        order = self._order()
        if order is None:
            return None
        services = self._services(order)
        troubles = [once for number, entry in enumerate(document.trouble) for once in self._troubles(number, entry)]
        real = [one for one in troubles if one.harms]
        if document.warm_up >= min((one.begins for one in real), default=float(document.duration)):
            self._decoder.broken(("warm_up",), "must be over before the first trouble begins", str(document.warm_up))
        late = max((one.ends for one in real), default=0.0)
        if late >= document.duration:
            rule = f"must go on after the last trouble, which ends at {Duration(late)}"
            self._decoder.broken(("duration",), rule, str(document.duration))
        return Scenario(
            name=document.name or self._file.stem,
            seed=document.seed,
            seconds=float(document.duration),
            warm_up=float(document.warm_up),
            services=services,
            troubles=sorted(troubles, key=lambda one: one.begins),
            policy=None if document.policy is UNSET else self._file.parent / document.policy,
            expects_no_harm=document.expect is not UNSET,
        )

    def _check(self, name: str, entry: ServiceEntry) -> None:
        here: Place = ("services", name)
        for callee in entry.calls:
            if callee not in self._document.services:
                self._decoder.lacking((*here, "calls", callee), "is no service of this file", RuleId.UNKNOWN)
        for asked in ("rate", "callers"):
            if getattr(entry, asked) is not UNSET and not entry.calls:
                self._decoder.lacking(
                    (*here, asked), "is of no use to a service that calls none", rule_id=RuleId.COMBINATION
                )
        if entry.rate is not UNSET and entry.callers is not UNSET:
            self._decoder.lacking(
                (*here, "callers"), "do not go with a rate: they ask as often as they are answered", RuleId.COMBINATION
            )
        if (
            entry.rate is UNSET
            and entry.callers is UNSET
            and not any(name in other.calls for other in self._document.services.values())
        ):
            self._decoder.lacking(here, "is not called: give it a rate, or a caller", rule_id=RuleId.REQUIRED)
        if entry.capacity is not UNSET and entry.utilisation is not UNSET:
            self._decoder.lacking(
                (*here, "utilisation"),
                "does not go with capacity: the rates give the one or the other",
                rule_id=RuleId.COMBINATION,
            )
        if entry.service_time <= 0:
            self._decoder.broken(
                (*here, "service_time"), "must be over 0s", str(entry.service_time), rule_id=RuleId.BOUNDS
            )
        if entry.cache is not UNSET and entry.capacity is UNSET and entry.utilisation is UNSET:
            self._decoder.lacking(
                (*here, "cache"),
                "needs a capacity or a utilisation: without work there is none to spare",
                rule_id=RuleId.COMBINATION,
            )

    def _order(self) -> list[str] | None:
        """Callers before those they call; None, with a finding, where there is a circle."""
        entries = self._document.services
        graph = {name: [callee for callee in entry.calls if callee in entries] for name, entry in entries.items()}
        try:
            return list(reversed(list(TopologicalSorter(graph).static_order())))
        except CycleError as error:
            self._decoder.lacking(("services",), f"must not call in a circle: {' → '.join(error.args[1])}")
            return None

    def _services(self, order: Sequence[str]) -> dict[str, Service]:
        entries = self._document.services
        services = {}
        for name in order:
            entry = entries[name]
            services[name] = Service(
                name=name,
                pods=entry.pods,
                rate=0.0 if entry.rate is UNSET else float(entry.rate),
                callers=0 if entry.callers is UNSET else entry.callers,
                deadline=float("inf") if entry.deadline is UNSET else float(entry.deadline),
                unsafe=entry.unsafe,
                service_time=float(entry.service_time) or 1.0,
                spread=entry.spread,
                queue=float("inf") if entry.queue is UNSET else entry.queue,
                failing=entry.failing,
                endpoints=entry.endpoints,
                keys=0 if entry.cache is UNSET else entry.cache.keys,
                miss=1.0 if entry.cache is UNSET else entry.cache.miss,
                calls={callee: share for callee, share in entry.calls.items() if callee in entries},
            )
        coming = loads(services)
        for name, one in services.items():
            entry = entries[name]
            if entry.capacity is not UNSET:
                services[name] = staffed(one, float(entry.capacity))
            elif entry.utilisation is not UNSET and coming[name]:
                services[name] = staffed(one, coming[name] / entry.utilisation)
        return services

    def _troubles(self, number: int, entry: TroubleEntry) -> list[Trouble]:
        here: Place = ("trouble", number)
        service = self._document.services.get(entry.service)
        if service is None:
            self._decoder.broken(
                (*here, "service"), "is no service of this file", entry.service, rule_id=RuleId.UNKNOWN
            )
            return []
        has_work = service.capacity is not UNSET or service.utilisation is not UNSET
        if entry.kind in {"hang", "brownout", "cold", "slow"} and not has_work:
            self._decoder.broken(
                (*here, "kind"),
                f"needs a capacity or a utilisation of {entry.service}",
                entry.kind,
                rule_id=RuleId.COMBINATION,
            )
        if entry.endpoint is not UNSET and entry.endpoint >= service.endpoints:
            rule = f"must be under {service.endpoints}: that many endpoints {entry.service} has, counted from 0"
            self._decoder.broken((*here, "endpoint"), rule, str(entry.endpoint))
        if entry.endpoint is not UNSET and entry.kind == "restart":
            self._decoder.lacking(
                (*here, "endpoint"),
                "does not go with restart, which is of pods: dead is of endpoints",
                rule_id=RuleId.COMBINATION,
            )
        if entry.kind == "forget" and service.cache is UNSET:
            self._decoder.broken(
                (*here, "kind"), f"needs a cache of {entry.service}", entry.kind, rule_id=RuleId.COMBINATION
            )
        if entry.kind == "restart" and not service.calls:
            self._decoder.broken(
                (*here, "kind"),
                f"needs a service with calls, and {entry.service} has none",
                entry.kind,
                rule_id=RuleId.COMBINATION,
            )
        self._check_change(here, entry, service)
        if entry.kind == "restart" and service.callers is not UNSET:
            self._decoder.lacking(
                (*here, "kind"),
                "does not go with callers, who would wait for ever for a lost answer",
                rule_id=RuleId.COMBINATION,
            )
        if entry.lasts <= 0:
            self._decoder.broken((*here, "lasts"), "must be over 0s", str(entry.lasts), rule_id=RuleId.BOUNDS)
        if entry.times > 1 and (entry.every is UNSET or entry.every < entry.lasts):
            self._decoder.lacking(
                (*here, "times"), "needs an every that is at least as long as it lasts", rule_id=RuleId.COMBINATION
            )
            return []
        every = 0.0 if entry.every is UNSET else float(entry.every)
        lasts = 0.0 if entry.kind == "forget" else float(entry.lasts)
        return [
            Trouble(
                service=entry.service,
                kind=entry.kind,
                begins=float(entry.at) + turn * every,
                ends=float(entry.at) + turn * every + lasts,
                speed=0.0 if entry.kind == "hang" else entry.speed,
                status=entry.status,
                share=entry.share,
                retry_after=None if entry.retry_after is UNSET else float(entry.retry_after),
                backlog=entry.backlog,
                endpoint=None if entry.endpoint is UNSET else entry.endpoint,
                service_time=_seconds(entry.service_time),
                becomes=_seconds(entry.becomes, entry.service_time),
                requests=0 if entry.requests is UNSET else entry.requests,
            )
            for turn in range(entry.times)
        ]

    def _check_change(self, here: Place, entry: TroubleEntry, service: ServiceEntry) -> None:
        """Check the fields that only slow and burst take."""
        needs = {"slow": "service_time", "burst": "requests"}.get(entry.kind)
        if needs is not None and getattr(entry, needs) is UNSET:
            self._decoder.lacking((*here, "kind"), f"needs {needs}", rule_id=RuleId.COMBINATION)
        for name, kind in (("service_time", "slow"), ("becomes", "slow"), ("requests", "burst")):
            if getattr(entry, name) is not UNSET and entry.kind != kind:
                self._decoder.lacking((*here, name), f"is of {kind} only", rule_id=RuleId.COMBINATION)
        if entry.kind == "slow" and entry.service_time is not UNSET and entry.service_time <= 0:
            self._decoder.broken(
                (*here, "service_time"), "must be over 0s", str(entry.service_time), rule_id=RuleId.BOUNDS
            )
        if entry.kind == "burst" and not service.calls:
            self._decoder.broken(
                (*here, "kind"),
                f"needs a service with calls, and {entry.service} has none",
                entry.kind,
                rule_id=RuleId.COMBINATION,
            )


def _seconds(*durations: Duration | UnsetType) -> float:
    """The first that was written; 0 where none was."""
    return next((float(one) for one in durations if one is not UNSET), 0.0)
