"""Nothing is claimed twice: a host leads to one destination, and a socket is listened on once."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from msgspec import UNSET

from sidecar.governance.documents.document import DestinationEntry, SidecarDocument
from sidecar.governance.documents.finding import Finding, dotted, shown
from sidecar.governance.documents.yaml import Path, Tree
from sidecar.net import Address, Endpoint, Host, bracketed

T = TypeVar("T", Address, Host)


@dataclass(frozen=True, slots=True)
class Claim(Generic[T]):
    """Something one part of the document has for itself. `line` is None when it is a default, written nowhere."""

    thing: T
    field: str
    line: int | None

    @property
    def place(self) -> str:
        """For the finding about somebody else's claim."""
        return f"{self.field}, by default," if self.line is None else f"{self.field} at line {self.line}"


def hosts_of(name: str, entry: DestinationEntry) -> dict[Host, Path]:
    """The hosts that lead to a destination, each with where in the document it comes from."""
    here: Path = ("destinations", name)
    if entry.hosts is not UNSET:
        return dict.fromkeys(entry.hosts, (*here, "hosts"))
    hosts = {Host(bracketed(endpoint.host)): (*here, "endpoints") for endpoint in entry.endpoints}
    return {Host(name): here} | hosts


def check_hosts(sidecar: SidecarDocument, tree: Tree, findings: list[Finding]) -> None:
    """Add a finding for every host that leads to two destinations."""
    first: dict[Host, Claim[Host]] = {}
    for name, entry in sidecar.destinations.items():
        for host, path in hosts_of(name, entry).items():
            claim = Claim(host, dotted(path), tree.line(_item(tree, path, host)))
            if host in first:
                hint = "" if path[-1] == "hosts" else "; name its `hosts`"
                rule = f"must not claim a host that {first[host].place} has{hint}"
                findings.append(Finding(tree.file, claim.line, claim.field, rule, shown(host)))
            first.setdefault(host, claim)


def check_listeners(sidecar: SidecarDocument, tree: Tree, findings: list[Finding]) -> None:
    """Add a finding for every socket that is listened on twice, and for every endpoint that is one of our own."""
    claims = sorted(_listeners(sidecar, tree), key=lambda claim: claim.line is not None)
    at_port: dict[int, list[Claim[Address]]] = {}
    for claim in claims:
        others = at_port.setdefault(claim.thing.port, [])
        earlier = next((other for other in others if other.thing.overlaps(claim.thing)), None)
        if earlier is not None:
            rule = f"must not listen where {earlier.place} does ({earlier.thing})"
            findings.append(Finding(tree.file, claim.line, claim.field, rule, shown(claim.thing)))
        others.append(claim)
    ours = {(claim.thing.host, claim.thing.port): claim for claim in claims if claim.thing.port != 0}
    if sidecar.ingress is not UNSET:
        app = sidecar.ingress.app
        own = ours.get((app.host, app.port))
        if own is not None:
            rule = f"must not be the sidecar itself, which listens there ({own.field})"
            findings.append(Finding(tree.file, tree.line(("ingress", "app")), "ingress.app", rule, shown(app)))
    for name, entry in sidecar.destinations.items():
        for endpoint in entry.endpoints:
            own = ours.get((endpoint.host, endpoint.port))
            if own is not None:
                path = ("destinations", name, "endpoints")
                rule = f"must not be the sidecar itself, which listens there ({own.field})"
                line = tree.line(_item(tree, path, endpoint))
                findings.append(Finding(tree.file, line, dotted(path), rule, shown(endpoint)))


def _listeners(sidecar: SidecarDocument, tree: Tree) -> Iterator[Claim[Address]]:
    yield _listener(tree, ("admin", "listen"), sidecar.admin.listen)
    if sidecar.admin.metrics_listen is not UNSET:
        yield _listener(tree, ("admin", "metrics_listen"), sidecar.admin.metrics_listen)
    for address in sidecar.egress.listen:
        yield _listener(tree, ("egress", "listen"), address)
    for name, entry in sidecar.destinations.items():
        if entry.listen is not UNSET:
            yield _listener(tree, ("destinations", name, "listen"), entry.listen)
    if sidecar.ingress is not UNSET:
        yield _listener(tree, ("ingress", "listen"), sidecar.ingress.listen)


def _listener(tree: Tree, path: Path, address: Address) -> Claim[Address]:
    place = _item(tree, path, address)
    return Claim(address, dotted(path), tree.line(place) if path in tree.lines else None)


def _item(tree: Tree, path: Path, thing: Address | Endpoint | Host) -> Path:
    """Where in the list at `path` the thing is written, or `path` itself when it is not a list or not found."""
    written = tree.at(path) if path in tree.lines else None
    if isinstance(written, list):
        for index, word in enumerate(written):
            if thing in _meanings(word):
                return (*path, index)
    return path


def _meanings(word: object) -> Iterator[Address | Endpoint | Host]:
    for form in (Address, Endpoint, Host):
        with suppress(ValueError):
            yield form.parse(word)
    with suppress(ValueError):
        yield Host(bracketed(Endpoint.parse(word).host))
