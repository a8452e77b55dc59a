"""Nothing is claimed twice: a host leads to one destination, and a socket is listened on once."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, Generic, TypeVar

from msgspec import UNSET, Struct

from sidecar.governance.documents.document import DestinationEntry, SidecarDocument
from sidecar.governance.documents.finding import Finding, RuleId, dotted, shown
from sidecar.governance.documents.yaml import Path, Tree
from sidecar.net import LINK_LOCAL, Address, AddressRange, Endpoint, HostPort, canonical_host, link_local

T = TypeVar("T", Address, HostPort)

UNREACHABLE: Final = "must not be link-local, for credentials are served there, unless egress.allow names it"


class Claim(Struct, Generic[T], frozen=True):
    """Something one part of the document has for itself. `at` is where it is written; `written` is False for a default.

    `file` and `line` are as `Tree.place` tells them.
    """

    thing: T
    path: Path
    at: Path
    file: str
    line: int | None
    written: bool = True

    @property
    def place(self) -> str:
        """For the finding about another claim."""
        if not self.written:
            return f"{self.field}, by default,"
        return f"{self.field} at line {self.line}" if self.line is not None else f"{self.field}, by {self.file},"

    @property
    def field(self) -> str:
        """The path as people write it."""
        return dotted(self.path)


def hosts_of(entries: Mapping[str, DestinationEntry]) -> dict[str, dict[HostPort, Path]]:
    """The hosts that lead to each destination, each with where in the document it comes from.

    A destination that names no hosts has its name, its endpoints with their ports, and their hosts for any port; of the
    last those that no other destination has, for only the port tells them apart.
    """
    named: dict[str, dict[HostPort, Path]] = {}
    for name, entry in entries.items():
        here: Path = ("destinations", name)
        if entry.hosts is not UNSET:
            named[name] = dict.fromkeys(entry.hosts, (*here, "hosts"))
        else:
            at_any_port = {endpoint.host for endpoint in entry.endpoints}
            named[name] = {HostPort(name): (*here, "endpoints") if name in at_any_port else here}
            for endpoint in entry.endpoints:
                named[name][HostPort(endpoint.host, endpoint.port)] = (*here, "endpoints")
    claimed = Counter(host for hosts in named.values() for host in hosts)
    claimed.update(host for name, entry in entries.items() for host in _at_any_port(entry) if host not in named[name])
    for name, entry in entries.items():
        path = ("destinations", name, "endpoints")
        named[name] |= {host: path for host in _at_any_port(entry) if claimed[host] == 1}
    return named


def shared_hosts(entries: Mapping[str, DestinationEntry]) -> list[HostPort]:
    """Hosts of several destinations' endpoints that lead to none of them without a port."""
    leading = {host for hosts in hosts_of(entries).values() for host in hosts}
    shared = Counter(host for entry in entries.values() for host in _at_any_port(entry))
    return [host for host, count in shared.items() if count > 1 and host not in leading]


def _at_any_port(entry: DestinationEntry) -> set[HostPort]:
    return {HostPort(endpoint.host) for endpoint in entry.endpoints} if entry.hosts is UNSET else set()


def check_hosts(sidecar: SidecarDocument, tree: Tree, findings: list[Finding]) -> None:
    """Add a finding for every host that leads to two destinations."""
    first: dict[HostPort, Claim[HostPort]] = {}
    for hosts in hosts_of(sidecar.destinations).values():
        for host, path in hosts.items():
            item = _item(tree, path, host)
            claim = Claim(host, path, item, *tree.place(item))
            if host in first:
                hint = "" if path[-1] == "hosts" else "; name its `hosts`"
                rule = f"must not claim a host that {first[host].place} has{hint}"
                findings.append(tree.finding(path, rule, shown(host), item=claim.at, rule_id=RuleId.DUPLICATE))
            first.setdefault(host, claim)


def check_listeners(sidecar: SidecarDocument, tree: Tree, findings: list[Finding]) -> None:
    """Add a finding for every socket that is listened on twice, and for every endpoint that is one of our own."""
    claims = sorted(_listeners(sidecar, tree), key=lambda claim: claim.written)
    at_port: dict[int, list[Claim[Address]]] = {}
    for claim in claims:
        others = at_port.setdefault(claim.thing.port, [])
        earlier = next((other for other in others if other.thing.overlaps(claim.thing)), None)
        if earlier is not None:
            rule = f"must not listen where {earlier.place} does ({earlier.thing})"
            thing = shown(claim.thing)
            findings.append(tree.finding(claim.path, rule, thing, item=claim.at, rule_id=RuleId.DUPLICATE))
        others.append(claim)
    ours = {(claim.thing.host, claim.thing.port): claim for claim in claims if claim.thing.port != 0}
    if sidecar.ingress is not UNSET:
        app = sidecar.ingress.app
        own = ours.get((app.host, app.port))
        if own is not None:
            rule = f"must not be the sidecar itself, which listens there ({own.field})"
            findings.append(tree.finding(("ingress", "app"), rule, shown(app)))
    for name, entry in sidecar.destinations.items():
        for endpoint in entry.endpoints:
            own = ours.get((endpoint.host, endpoint.port))
            if own is not None:
                path = ("destinations", name, "endpoints")
                rule = f"must not be the sidecar itself, which listens there ({own.field})"
                findings.append(tree.finding(path, rule, shown(endpoint), item=_item(tree, path, endpoint)))


def check_reach(sidecar: SidecarDocument, tree: Tree, findings: list[Finding]) -> None:
    """Add a finding for every endpoint that is refused by default and not allowed, and for what is allowed in vain."""
    allowed = sidecar.egress.allow
    control = [sidecar.admin.listen]
    if sidecar.admin.metrics_listen is not UNSET:
        control.append(sidecar.admin.metrics_listen)
    for each in allowed:
        lifts = any(each.network.overlaps(network) for network in LINK_LOCAL if network.version == each.network.version)
        if not lifts and not any(
            each.port == admin.port and (admin.unspecified or each.covers(admin.host, admin.port)) for admin in control
        ):
            refused = ", ".join(map(str, LINK_LOCAL))
            rule = (
                f"must be something that is refused by default: {refused}, or a port of admin; all else may be called"
            )
            item = _item(tree, ("egress", "allow"), each)
            findings.append(tree.finding(("egress", "allow"), rule, shown(each), item=item))
    for name, entry in sidecar.destinations.items():
        for endpoint in entry.endpoints:
            if unreachable(endpoint, allowed):
                path = ("destinations", name, "endpoints")
                findings.append(tree.finding(path, UNREACHABLE, shown(endpoint), item=_item(tree, path, endpoint)))


def unreachable(endpoint: Endpoint, allowed: Sequence[AddressRange]) -> bool:
    """Whether it is refused by default, and not among what is allowed."""
    host = canonical_host(endpoint.host)
    return link_local(host) and not any(each.covers(host, endpoint.port) for each in allowed)


def _listeners(sidecar: SidecarDocument, tree: Tree) -> Iterator[Claim[Address]]:
    yield _listener(tree, ("admin", "listen"), sidecar.admin.listen)
    if sidecar.admin.metrics_listen is not UNSET:
        yield _listener(tree, ("admin", "metrics_listen"), sidecar.admin.metrics_listen)
    for address in sidecar.egress.listen:
        yield _listener(tree, ("egress", "listen"), address)
    if sidecar.egress.transparent is not UNSET:
        for address in sidecar.egress.transparent.listen:
            yield _listener(tree, ("egress", "transparent", "listen"), address)
    for name, entry in sidecar.destinations.items():
        if entry.listen is not UNSET:
            yield _listener(tree, ("destinations", name, "listen"), entry.listen)
    if sidecar.ingress is not UNSET:
        yield _listener(tree, ("ingress", "listen"), sidecar.ingress.listen)


def _listener(tree: Tree, path: Path, address: Address) -> Claim[Address]:
    item = _item(tree, path, address)
    return Claim(address, path, item, *tree.place(item), written=path in tree.lines)


def _item(tree: Tree, path: Path, thing: Address | AddressRange | HostPort | Endpoint) -> Path:
    """The place of the thing in the list at `path`, or `path` itself when it is not a list or not found."""
    written = tree.at(path) if path in tree.lines else None
    if isinstance(written, list):
        for index, word in enumerate(written):
            if thing in _meanings(word):
                return (*path, index)
    return path


def _meanings(word: object) -> Iterator[Address | AddressRange | HostPort | Endpoint]:
    for form in (Address, AddressRange, HostPort, Endpoint):
        with suppress(ValueError):
            yield form.parse(word)
    with suppress(ValueError):
        endpoint = Endpoint.parse(word)
        yield HostPort(endpoint.host)
        yield HostPort(endpoint.host, endpoint.port)
