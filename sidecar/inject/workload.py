"""A workload's annotations about its sidecar."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sidecar.engine.destination import UNLISTED
from sidecar.governance.documents.document import INGRESS_NAME
from sidecar.governance.documents.finding import near, shown
from sidecar.governance.documents.units import Duration
from sidecar.inject.patch import Path
from sidecar.inject.settings import Quantity
from sidecar.net import Address, Endpoint, PolicyUrl

PREFIX: Final = "sidecar.io/"
INJECTED: Final = f"{PREFIX}injected"
"""The annotation that is the record of an injection."""
OPT_IN: Final = f"{PREFIX}inject"
"""The label, of a namespace or a pod: `enabled` or `disabled`."""
FIRST_OWN_PORT: Final = 16101
DESTINATIONS_CEILING: Final = 100
"""Destinations of one workload by annotations, each with a port of its own."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_ANNOTATIONS: Path = ("metadata", "annotations")
_VARIABLES: Final = {
    "service": "SIDECAR_SERVICE",
    "policy": "SIDECAR_POLICY",
    "mode": "SIDECAR_MODE",
    "ingress-app": "SIDECAR_INGRESS_APP",
    "drain-timeout": "SIDECAR_DRAIN_TIMEOUT",
    "log-level": "SIDECAR_LOG_LEVEL",
    "log-format": "SIDECAR_LOG_FORMAT",
}
"""Annotations that are variables of the container."""
_RESOURCES: Final = {
    "cpu-request": ("requests", "cpu"),
    "memory-request": ("requests", "memory"),
    "cpu-limit": ("limits", "cpu"),
    "memory-limit": ("limits", "memory"),
}
_OTHERS: Final = (
    "transparent",
    "upstreams",
    "listen",
    "env",
    "http-proxy",
    "no-proxy",
    "image",
    "native",
    "inject",
    "injected",
)
KNOWN: Final = (*_VARIABLES, *_RESOURCES, *_OTHERS)


@dataclass(frozen=True, slots=True)
class PodProblem:
    """A rule that a pod breaks. `path` is from the pod, `value` what was given."""

    path: Path
    rule: str
    value: str | None = None


@dataclass(slots=True)
class Workload:
    """The annotations, read. `native` and `image` are None where they say nothing."""

    variables: dict[str, str] = field(default_factory=dict)
    upstreams: list[tuple[str, str]] = field(default_factory=list)
    """Destinations with an endpoint each; a name may come again, with another endpoint."""
    listen: list[Address] = field(default_factory=list)
    """The shared listeners; none where the annotation says none."""
    own_ports: dict[str, int] = field(default_factory=dict)
    """Ports of destinations that the annotation gives one."""
    env: dict[str, str] = field(default_factory=dict)
    """Variables of the application, each with the destination that it is to lead to."""
    transparent: tuple[int, ...] = ()
    """Ports whose connections are brought to the sidecar."""
    http_proxy: bool = False
    no_proxy: str = ""
    image: str | None = None
    native: bool | None = None
    resources: dict[tuple[str, str], str] = field(default_factory=dict)


def annotation(name: str) -> Path:
    """The path of one of our annotations in a pod."""
    return (*_ANNOTATIONS, PREFIX + name)


def workload_of(annotations: Mapping[str, object], problems: list[PodProblem]) -> Workload:
    """Read the annotations; what is wrong with them is added to `problems`."""
    workload = Workload()
    for full_name, value in annotations.items():
        if not full_name.startswith(PREFIX):
            continue
        name = full_name.removeprefix(PREFIX)
        if not isinstance(value, str):
            problems.append(PodProblem((*_ANNOTATIONS, full_name), "must be text: quote it", shown(value)))
        elif name not in KNOWN:
            problems.append(PodProblem((*_ANNOTATIONS, full_name), f"is not known{near(name, KNOWN)}"))
        else:
            rule = _take(workload, name, value.strip())
            if rule is not None:
                problems.append(PodProblem((*_ANNOTATIONS, full_name), rule, shown(value)))
    return workload


def _take(workload: Workload, name: str, value: str) -> str | None:
    """Keep one annotation; the rule that it breaks, if it does."""
    try:
        match name:
            case "upstreams":
                workload.upstreams = _pairs(value, "name=url")
                for destination, url in workload.upstreams:
                    _destination(destination)
                    Endpoint.parse(url)
            case "listen":
                _listeners(workload, value)
            case "env":
                pairs = _pairs(value, "VARIABLE=destination")
                workload.env = dict(pairs)
                if len(workload.env) < len(pairs):
                    return "must not name a variable twice"
                for destination in workload.env.values():
                    _destination(destination)
            case "transparent":
                workload.transparent = _ports(value)
            case "http-proxy" | "native":
                _switch(workload, name, value)
            case "no-proxy":
                workload.no_proxy = value
            case "image":
                workload.image = _filled(value)
            case "drain-timeout":
                if Duration.parse(value) > 3600:
                    return "must be at most 1h"
            case "policy":
                if "://" in value:
                    PolicyUrl.parse(value)
            case "mode":
                _one_of(value, "enforce", "observe")
            case "ingress-app":
                Endpoint.parse(value)
            case "log-level":
                _one_of(value, "debug", "info", "warning", "error")
            case "log-format":
                _one_of(value, "console", "json")
            case "inject":
                _one_of(value, "enabled", "disabled")
            case _ if name in _RESOURCES:
                workload.resources[_RESOURCES[name]] = Quantity.parse(value)
    except ValueError as error:
        return str(error)
    if name in _VARIABLES:
        workload.variables[_VARIABLES[name]] = value
    return None


def _listeners(workload: Workload, value: str) -> None:
    """`127.0.0.1:16001 payments=127.0.0.1:16101`, as SIDECAR_LISTEN has it."""
    for word in value.replace(",", " ").split():
        name, equals, written = word.rpartition("=")
        address = Address.parse(written)
        if address.host not in ("127.0.0.1", "::1") or not address.port:
            raise ValueError("must be addresses of loopback with a port, like 127.0.0.1:16001 payments=127.0.0.1:16101")
        if not equals:
            workload.listen.append(address)
        elif address.host != "127.0.0.1":
            raise ValueError("must give a destination a port of 127.0.0.1, like payments=127.0.0.1:16101")
        else:
            _destination(name)
            if workload.own_ports.setdefault(name, address.port) != address.port:
                raise ValueError("must not name a destination twice")
    if len(set(workload.own_ports.values())) < len(workload.own_ports):
        raise ValueError("must not give two destinations one port")


def _switch(workload: Workload, name: str, value: str) -> None:
    if name == "native":
        _one_of(value, "true", "false")
        workload.native = value == "true"
    else:
        _one_of(value, "enabled", "disabled")
        workload.http_proxy = value == "enabled"


def _ports(value: str) -> tuple[int, ...]:
    words = value.replace(" ", "").split(",")
    if not all(re.fullmatch(r"[1-9][0-9]{0,4}", word) and int(word) <= 65535 for word in words):
        raise ValueError("must be ports with commas between them, like 80,8080")
    return tuple(dict.fromkeys(map(int, words)))


def _one_of(value: str, *words: str) -> None:
    if value not in words:
        raise ValueError(f"must be {' or '.join(words)}")


def _filled(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    return value


def _destination(name: str) -> None:
    if _NAME.fullmatch(name) is None or name in (UNLISTED, INGRESS_NAME):
        raise ValueError(f"must name destinations by at most 63 of a-z, 0-9, '-' and '_', not {name!r}")


def _pairs(value: str, form: str) -> list[tuple[str, str]]:
    pairs = []
    for word in value.replace(",", " ").split():
        name, equals, other = word.partition("=")
        if not (name and equals and other):
            raise ValueError(f"must be {form}, several with blanks between them")
        pairs.append((name, other))
        if len(pairs) > DESTINATIONS_CEILING:
            raise ValueError(f"must be at most {DESTINATIONS_CEILING} of {form}")
    if not pairs:
        raise ValueError(f"must be {form}, several with blanks between them")
    return pairs
