"""The service team's word, judged by itself: whom the service calls, where the sidecar listens, where its policy is.

It is a file, or flags; either way it is local, trusted, and wrong only by an error of the one who starts the sidecar.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import UNSET, Struct, structs
from msgspec.structs import replace

from sidecar.governance.documents.claims import (
    check_hosts,
    check_listeners,
    check_reach,
    hosts_of,
    shared_hosts,
)
from sidecar.governance.documents.decoder import Decoder
from sidecar.governance.documents.directory import POLICY_NAME
from sidecar.governance.documents.document import (
    DestinationEntry,
    PolicySettings,
    SidecarDocument,
    read_sidecar,
)
from sidecar.governance.documents.finding import Finding, InvalidDocument, RuleId
from sidecar.governance.documents.given import Given, overlaid
from sidecar.governance.documents.ingress_routes import IngressRouteEntry, RouteTableDocument, check_routes
from sidecar.governance.documents.yaml import SIZE_CEILING_BYTES, Tree, parse
from sidecar.governance.documents.yaml import Path as DocumentPath
from sidecar.governance.policy.authority import Authority
from sidecar.net import Address, HostPort


class RouteEntries(Struct, frozen=True):
    """`ingress.routes`, and where they stand: `at` in `tree`, the sidecar file's or that of a `file` of its own."""

    entries: tuple[IngressRouteEntry, ...] = ()
    tree: Tree | None = None
    at: DocumentPath = ()
    file: Path | None = None
    content: bytes = b""


NO_ROUTES = RouteEntries()


class Bootstrap(Struct, frozen=True):
    """The sidecar file, or flags in its form. With findings about it, it serves to find more only."""

    sidecar: SidecarDocument
    tree: Tree
    """The file's values, and those of flags and variables laid over them."""
    content: bytes
    """The exact bytes of the file; none for flags."""
    file: Path | None
    hosts: Mapping[str, frozenset[str]]
    """The hosts that lead to each destination, lower-cased, with a port or for any."""
    listen: Mapping[str, tuple[Address, ...]]
    """The addresses of each destination's own."""
    warnings: tuple[str, ...]
    routes: "RouteEntries" = NO_ROUTES
    authority: Authority | None = None
    """The platform's word about where the policy is; None where the service says so itself."""

    @property
    def policy(self) -> PolicySettings | None:
        """The place of the policy; None when none is named."""
        if self.authority is not None:
            return self.authority.policy
        return None if self.sidecar.policy is UNSET else self.sidecar.policy

    @property
    def policy_tree(self) -> Tree:
        """The document in which that is written."""
        return self.tree if self.authority is None else self.authority.tree

    @property
    def policy_file(self) -> Path | None:
        """The file that the policy is in; None when it is nowhere, or at an address."""
        settings = self.policy
        if settings is None:
            return None
        if settings.directory is not UNSET:
            return self.policy_path(settings.directory) / POLICY_NAME
        return None if settings.file is UNSET else self.policy_path(settings.file)

    def path(self, written: str) -> Path:
        """A path of the document: relative to the folder of the sidecar file."""
        return Path(written) if self.file is None else self.file.parent / written

    def policy_path(self, written: str) -> Path:
        """A path in `policy`: relative to the folder of the file that says it."""
        return self.path(written) if self.authority is None else self.authority.file.parent / written

    def under(self, authority: Authority | None, findings: list[Finding]) -> "Bootstrap":
        """The same under an authority. That it names a policy of its own is added to `findings` then."""
        if authority is None:
            return self
        if self.sidecar.policy is not UNSET:
            rule = f"is not for the service to say: {authority.file} names the policy"
            sources: list[DocumentPath] = [("policy", word) for word in ("file", "url")]
            given = next((path for path in sources if path in self.tree.given), None)
            findings.append(self.tree.finding(("policy",), rule, item=given))
        return replace(self, authority=authority)


class BootSource(Struct, frozen=True):
    """The service's settings: its file, read again at each reload, and the flags and variables laid over it."""

    file: Path | None
    given: tuple[Given, ...] = ()
    optional: bool = False
    """Whether the file may be missing: it is then as if none were named."""
    warnings: tuple[str, ...] = ()
    """Warnings for operators about flags and variables, one line each."""

    def read(self, content: bytes | None, findings: list[Finding]) -> Bootstrap:
        """The service's word, with the file's `content`; None where there is no file.

        What is wrong is added to `findings`. Raises InvalidDocument when nothing can be read.
        """
        if self.file is None or content is None:
            bootstrap = _without_file(self.given, findings)
        else:
            bootstrap = from_file(self.file, content, findings, self.given)
        return replace(bootstrap, warnings=(*self.warnings, *bootstrap.warnings))

    def names_policy_by_flag(self) -> bool:
        """Whether a flag or variable of this start names the policy."""
        return any(given.setting == "policy" and given.by.startswith("--") for given in self.given)


def from_file(file: Path, content: bytes, findings: list[Finding], given: Sequence[Given] = ()) -> Bootstrap:
    """Judge the sidecar file under what is `given`; what is wrong is added to `findings`.

    Raises InvalidDocument when nothing can be read.
    """
    try:
        tree = overlaid(parse(content, str(file)), given, findings)
    except InvalidDocument as error:
        raise InvalidDocument([*findings, *error.findings]) from None
    sidecar = read_sidecar(tree, findings)
    if sidecar is None:
        raise InvalidDocument(findings)
    check_listeners(sidecar, tree, findings)
    check_hosts(sidecar, tree, findings)
    check_reach(sidecar, tree, findings)
    return Bootstrap(
        sidecar=sidecar,
        tree=tree,
        content=content,
        file=file,
        hosts={name: frozenset(hosts) for name, hosts in hosts_of(sidecar.destinations).items()},
        listen={name: () if entry.listen is UNSET else (entry.listen,) for name, entry in sidecar.destinations.items()},
        warnings=_shared(sidecar.destinations),
        routes=_routes(sidecar, tree, file.parent, findings),
    )


def _routes(sidecar: SidecarDocument, tree: Tree, folder: Path, findings: list[Finding]) -> RouteEntries:
    if sidecar.ingress is UNSET:
        return NO_ROUTES
    routes = sidecar.ingress.routes
    entries = RouteEntries(tuple(routes), tree, ("ingress", "routes")) if isinstance(routes, list) else None
    if entries is None:
        assert not isinstance(routes, list)
        entries = read_route_file(folder / routes.file, findings)
    if any(entry.contracted for entry in entries.entries) and sidecar.ingress.idempotency is UNSET:
        rule = "needs ingress.idempotency.store: where keys are kept"
        findings.append(tree.finding(("ingress", "routes"), rule, item=("ingress",)))
    return entries


def read_route_file(file: Path, findings: list[Finding]) -> RouteEntries:
    """A route table in a file of its own; what is wrong is added to `findings`."""
    try:
        with file.open("rb") as stream:
            content = stream.read(SIZE_CEILING_BYTES + 1)
        tree = parse(content, str(file))
    except OSError as error:
        findings.append(
            Finding(str(file), None, "", f"can not be read: {error.strerror or error}", rule_id=RuleId.UNREADABLE)
        )
        return RouteEntries(file=file)
    except InvalidDocument as error:
        findings.extend(error.findings)
        return RouteEntries(file=file)
    decoder = Decoder(tree, findings)
    table = decoder.document(RouteTableDocument, {"version": 1})
    entries = [] if table is None else table.routes
    check_routes(entries, ("routes",), decoder)
    return RouteEntries(tuple(entries), tree, ("routes",), file, content)


def from_flags(
    service: str,
    upstreams: Sequence[str],
    listen: str | None,
    policy_file: Path | None,
    admin: str | None,
    findings: list[Finding],
) -> Bootstrap:
    """Judge flags: `upstreams` are `name=url`, the same name again adds an endpoint.

    `listen` is the shared listener's address, else both loopback addresses at port 16001; `admin` is the admin plane's,
    else port 16000 of loopback. What is wrong is added to `findings`, which name the flag instead of a file.
    """
    flags = [Given("--service", "service", (service,)), Given("--upstream", "upstreams", tuple(upstreams))]
    if listen is not None:
        flags.append(Given("--listen", "listen", (listen,)))
    if policy_file is not None:
        flags.append(Given("--policy", "policy", (str(policy_file),)))
    if admin is not None:
        flags.append(Given("--admin", "admin", (admin,)))
    if not upstreams:
        findings.append(Finding("--upstream", None, "", "must be given at least once", rule_id=RuleId.REQUIRED))
    return _without_file(flags, findings)


def _without_file(given: Sequence[Given], findings: list[Finding]) -> Bootstrap:
    """Judge flags and variables alone. With one destination that has no port of its own, every request that comes in is
    for it, whatever its Host; otherwise the shared listener tells destinations apart by Host.
    """  # noqa: D205 - one thought
    tree = overlaid(None, given, findings)
    sidecar = read_sidecar(tree, findings)
    if sidecar is None:
        raise InvalidDocument(findings)
    check_listeners(sidecar, tree, findings)
    check_reach(sidecar, tree, findings)
    entries = sidecar.destinations
    contested = _contested(entries)
    listen: dict[str, tuple[Address, ...]] = {
        name: () if entry.listen is UNSET else (entry.listen,) for name, entry in entries.items()
    }
    if len(entries) == 1 and not any(listen.values()):
        listen = dict.fromkeys(entries, tuple(sidecar.egress.listen))
        sidecar = structs.replace(sidecar, egress=structs.replace(sidecar.egress, listen=[]))
    return Bootstrap(
        sidecar=sidecar,
        tree=tree,
        content=b"",
        file=None,
        hosts={name: frozenset(hosts.keys() - contested) for name, hosts in hosts_of(entries).items()},
        listen=listen,
        warnings=(
            *(f"several destinations have the endpoint {host}: it leads to none of them" for host in contested),
            *_shared(entries),
        ),
    )


def _contested(entries: Mapping[str, DestinationEntry]) -> list[HostPort]:
    """Hosts and ports that lead to several destinations; a destination's name is its own."""
    claims = Counter(host for hosts in hosts_of(entries).values() for host in hosts)
    return [host for host, count in claims.items() if count > 1 and host not in entries]


def _shared(entries: Mapping[str, DestinationEntry]) -> tuple[str, ...]:
    return tuple(
        f"several destinations have an endpoint at {host}: only with its port does it lead to one of them"
        for host in shared_hosts(entries)
    )
