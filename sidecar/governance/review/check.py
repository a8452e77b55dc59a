"""The judgement of `sidecar policy check`: each document by itself, and sidecar files by the policy they are to meet.

Under an authority what it names counts, and a policy that a sidecar file names is a finding.

It reads as loading does and finds what loading would refuse, in every file at once; and it notes what loading has no
reason to mention, such as an exception that is over and still written down.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from enum import Enum
from pathlib import Path

from msgspec import UNSET, Struct, structs

from sidecar.engine.policy import DestinationPolicy
from sidecar.governance.documents.bound import written
from sidecar.governance.documents.directory import GATE_NAME
from sidecar.governance.documents.document import AuthorityDocument, PolicyDocument, SidecarDocument
from sidecar.governance.documents.finding import Finding, InvalidDocument, RuleId
from sidecar.governance.documents.gate import GateDocument
from sidecar.governance.documents.yaml import parse
from sidecar.governance.policy.authority import Authority, authority_from
from sidecar.governance.policy.bootstrap import Bootstrap
from sidecar.governance.policy.bootstrap import from_file as bootstrap_from_file
from sidecar.governance.policy.delivery import Delivery
from sidecar.governance.policy.gate_rules import GateRules, gate_rules
from sidecar.governance.policy.platform_policy import Platform
from sidecar.governance.policy.resolve import Origin
from sidecar.governance.policy.snapshot import Snapshot, compiled
from sidecar.governance.policy.waivers import SOON, Grant, State, life_rule, span_text, state_of
from sidecar.net import redacted

_POLICY_KEYS = frozenset(field.encode_name for field in structs.fields(PolicyDocument))
_AUTHORITY_KEYS = frozenset(field.encode_name for field in structs.fields(AuthorityDocument))
_SIDECAR_KEYS = frozenset(field.encode_name for field in structs.fields(SidecarDocument))
_GATE_KEYS = frozenset(field.encode_name for field in structs.fields(GateDocument)) - _POLICY_KEYS - _SIDECAR_KEYS


class DocumentKind(Enum):
    """The kinds of files."""

    POLICY = "policy"
    SIDECAR = "sidecar file"
    AUTHORITY = "authority"
    GATE = "rules of the gate"
    DESCRIPTION = "API description"
    """Judged by `sidecar gate`, and never by the policy check."""
    OTHER = "neither a policy nor a sidecar file"


_BY_NAME = {"authority": DocumentKind.AUTHORITY, "sidecar": DocumentKind.SIDECAR}


class Candidate(Struct, frozen=True):
    """A file to judge. `named`: it was given by name, and not found in a directory."""

    name: str
    content: bytes
    named: bool = True


class Judged(Struct, frozen=True):
    """One document, in a few words. `against` is the policy that a sidecar file was judged by."""

    file: str
    kind: DocumentKind
    summary: str = ""
    against: str | None = None


class Judgement(Struct, frozen=True):
    """The result of a check. Findings are refused by every sidecar; notes are for people."""

    documents: tuple[Judged, ...]
    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...]


def kind_of(candidate: Candidate) -> DocumentKind:
    """The kind of a file, by its keys; by its name where it has none, or can not be parsed.

    What was only found in a directory is a document of ours when it has more keys of ours than of others.
    """
    name = Path(candidate.name).name
    by_name = (
        DocumentKind.AUTHORITY
        if "authority" in name
        else DocumentKind.SIDECAR
        if "sidecar" in name
        else DocumentKind.GATE
        if name == GATE_NAME
        else DocumentKind.POLICY
    )
    try:
        value = parse(candidate.content, candidate.name).value
    except InvalidDocument:
        return by_name
    if not isinstance(value, dict):
        return by_name if candidate.named and not value else DocumentKind.OTHER
    keys = value.keys()
    if keys == _AUTHORITY_KEYS:  # of all documents this one alone has no more to say
        return DocumentKind.AUTHORITY
    if len(keys & _GATE_KEYS) >= 2:  # no other document has rules and effects, which it has to have
        return DocumentKind.GATE
    policy, sidecar = len(keys & (_POLICY_KEYS - _SIDECAR_KEYS)), len(keys & (_SIDECAR_KEYS - _POLICY_KEYS))
    ours = _POLICY_KEYS if policy > sidecar else _SIDECAR_KEYS
    if policy == sidecar == 0:
        return by_name if candidate.named and (not keys or keys & _POLICY_KEYS) else DocumentKind.OTHER
    if not candidate.named and len(keys & ours) <= len(keys - ours):
        return DocumentKind.OTHER
    return DocumentKind.POLICY if policy > sidecar else DocumentKind.SIDECAR


def judge(candidates: Sequence[Candidate], read: Callable[[Path], bytes | None], now: datetime) -> Judgement:
    """Judge all of them at `now`. `read` gets the policy that a sidecar file names; None when it is not there."""
    return _Bench(candidates, read, now).judgement()


class _Bench:
    def __init__(self, candidates: Sequence[Candidate], read: Callable[[Path], bytes | None], now: datetime) -> None:
        self._candidates = candidates
        self._read = read
        self._now = now
        self._findings: list[Finding] = []
        self._notes: list[Finding] = []
        self._snapshots: list[tuple[str, Snapshot]] = []
        kinds = {candidate.name: kind_of(candidate) for candidate in candidates}
        self._kinds: Mapping[str, DocumentKind] = kinds
        self._policies = {
            os.path.realpath(candidate.name): Delivery(candidate.name, candidate.content)
            for candidate in candidates
            if kinds[candidate.name] is DocumentKind.POLICY
        }
        self._authorities: list[tuple[Authority, bool]] = []
        """Each with whether it was named."""

    def judgement(self) -> Judgement:
        judged = {}
        platforms = {}
        for candidate in self._candidates:
            if self._kinds[candidate.name] is DocumentKind.AUTHORITY:
                judged[candidate.name] = self._authority(candidate)
        for candidate in self._candidates:
            match self._kinds[candidate.name]:
                case DocumentKind.POLICY:
                    platform = Platform.read(Delivery(candidate.name, candidate.content), self._findings)
                    platforms[candidate.name] = platform
                    judged[candidate.name] = Judged(candidate.name, DocumentKind.POLICY, _policy_summary(platform))
                case DocumentKind.AUTHORITY:
                    pass  # judged before those that are under it
                case DocumentKind.SIDECAR:
                    judged[candidate.name] = self._sidecar(candidate)
                case DocumentKind.GATE:
                    judged[candidate.name] = self._gate(candidate)
                case DocumentKind.OTHER | DocumentKind.DESCRIPTION:
                    judged[candidate.name] = self._other(candidate)
        for name, platform in platforms.items():
            users = [snapshot for policy, snapshot in self._snapshots if policy == name]
            self._notes.extend(_grant_notes(platform, users, self._now))
            self._notes.extend(_expiry_note(platform, self._now))
            self._notes.extend(_timeout_notes(platform.defaults.policy, platform.defaults.provenance))
        return Judgement(tuple(judged.values()), _ordered(self._findings), _ordered(self._notes))

    def _gate(self, candidate: Candidate) -> Judged:
        try:
            rules = gate_rules(candidate.content, candidate.name, self._findings)
        except InvalidDocument as error:
            self._findings.extend(error.findings)
            rules = None
        if rules is None:
            return Judged(candidate.name, DocumentKind.GATE)
        for grant in rules.grants:
            life = life_rule(grant.exception, "the rule", self._now)
            if life is not None:
                self._notes.append(
                    Finding(
                        grant.file,
                        grant.line,
                        f"exceptions ({grant.exception.id})",
                        life,
                        rule_id=RuleId.EXCEPTION_LIFE,
                    )
                )
        return Judged(candidate.name, DocumentKind.GATE, _gate_summary(rules))

    def _other(self, candidate: Candidate) -> Judged:
        if candidate.named:
            self._findings.append(
                Finding(candidate.name, 1, "", f"is {DocumentKind.OTHER.value}", rule_id=RuleId.UNKNOWN)
            )
        return Judged(candidate.name, DocumentKind.OTHER)

    def _authority(self, candidate: Candidate) -> Judged:
        try:
            authority = authority_from(Path(candidate.name), candidate.content)
        except InvalidDocument as error:
            self._findings.extend(error.findings)
            return Judged(candidate.name, DocumentKind.AUTHORITY)
        self._authorities.append((authority, candidate.named))
        return Judged(candidate.name, DocumentKind.AUTHORITY, _authority_summary(authority))

    def _sidecar(self, candidate: Candidate) -> Judged:
        findings: list[Finding] = []
        try:
            bootstrap = bootstrap_from_file(Path(candidate.name), candidate.content, findings)
            bootstrap = bootstrap.under(self._authority_over(candidate), findings)
        except InvalidDocument as error:
            self._findings.extend(error.findings)
            return Judged(candidate.name, DocumentKind.SIDECAR)
        delivery = self._policy_of(bootstrap)
        against = "the built-in policy" if delivery is None else delivery.name
        summary = _sidecar_summary(bootstrap)
        try:
            snapshot = compiled(bootstrap, delivery, findings, self._now)
        except InvalidDocument as error:
            self._findings.extend(error.findings)
        else:
            self._snapshots.append((against, snapshot))
            self._notes.extend(snapshot.waiting)
            for destination in snapshot.destinations.values():
                self._notes.extend(_timeout_notes(destination.policy, destination.provenance))
            for left_out in snapshot.left_out.values():
                self._findings.extend(left_out)
            self._findings.extend(snapshot.unannounced)
        return Judged(candidate.name, DocumentKind.SIDECAR, summary, against)

    def _authority_over(self, candidate: Candidate) -> Authority | None:
        """One that was named is over all sidecar files; one found in a directory over those beside and below it."""
        for authority, named in self._authorities:
            if named or authority.file.resolve().parent in Path(candidate.name).resolve().parents:
                return authority
        return None

    def _policy_of(self, bootstrap: Bootstrap) -> Delivery | None:
        """The policy a sidecar file will meet: the one that is named if that is here, else the only one that is."""
        named = bootstrap.policy_file
        if named is not None and os.path.realpath(named) in self._policies:
            return self._policies[os.path.realpath(named)]
        if len(self._policies) == 1:
            return next(iter(self._policies.values()))
        content = None if named is None else self._read(named)
        if named is not None and content is not None:
            return Delivery(str(named), content)
        if bootstrap.policy is not None and bootstrap.policy_tree is not None:
            tree = bootstrap.policy_tree
            where = "the policy is not among these files" if named is None else f"there is no {named} here"
            rule = f"overrides are judged by the built-in guardrails only: {where}"
            self._notes.append(
                Finding(tree.file, tree.line(("policy",)), "policy", rule, rule_id=RuleId.POLICY_ELSEWHERE)
            )
        return None


def _ordered(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """By file and line, and each once: a policy is read again for every sidecar file."""
    unique = dict.fromkeys(findings)
    return tuple(sorted(unique, key=lambda finding: (finding.file, finding.line or 0)))


def _policy_summary(platform: Platform) -> str:
    if platform.tree is None:
        return ""
    return f"policy, version {platform.version} of {platform.owner}, {_exceptions(len(platform.grants))}"


def _gate_summary(rules: GateRules) -> str:
    document = rules.document
    of_whom = f"version {document.version} of {document.owner}"
    return f"rules of the gate, {of_whom}, {len(document.rules)} rules, {_exceptions(len(rules.grants))}"


def _exceptions(count: int) -> str:
    return "no exceptions" if count == 0 else f"{count} exception{'' if count == 1 else 's'}"


def _authority_summary(authority: Authority) -> str:
    settings = authority.policy
    source = next(place for place in (settings.url, settings.file, settings.directory) if place is not UNSET)
    count = len(settings.keys)
    signed = f"signed by {settings.required} of {count} keys" if count else "unsigned"
    return f"authority: the policy is {redacted(source)}, {signed}"


def _sidecar_summary(bootstrap: Bootstrap) -> str:
    count = len(bootstrap.sidecar.destinations)
    return f"sidecar file of {bootstrap.sidecar.service}, {count} destination{'' if count == 1 else 's'}"


def _expiry_note(platform: Platform, now: datetime) -> Iterator[Finding]:
    """That a policy is past its own end, or soon will be: it is kept then, and alarms in every sidecar."""
    if platform.expires is None or platform.tree is None:
        return
    left = datetime.combine(platform.expires, time(), UTC) - now
    if left <= timedelta(0):
        rule = f"is past since {platform.expires}: sidecars keep the policy and alarm; publish its successor"
    elif left <= SOON:
        rule = f"ends in {span_text(left)}: publish its successor before"
    else:
        return
    yield Finding(platform.tree.file, platform.tree.line(("expires",)), "expires", rule, rule_id=RuleId.POLICY_LIFE)


def _timeout_notes(policy: DestinationPolicy, provenance: Mapping[str, Origin]) -> Iterator[Finding]:
    """That no retry can follow a slow attempt, or that healthy answers will be taken for late ones."""
    timeout, attempt = provenance["timeout"], provenance["per_attempt_timeout"]
    last = attempt if attempt.line is not None else timeout
    if last.file is None or policy.retry.max_attempts < 2:
        return
    if policy.per_attempt_timeout >= policy.timeout:
        rule = (
            f"per_attempt_timeout ({attempt.value}, {attempt.place}) is not below timeout ({timeout.value}, "
            f"{timeout.place}): no retry can follow an attempt that is slow"
        )
        yield Finding(last.file, last.line, "timeout" if last is timeout else "per_attempt_timeout", rule)
    elif timeout.file is not None and attempt.line is None and policy.timeout > DestinationPolicy().timeout:
        rule = (
            f"is raised to {timeout.value} without per_attempt_timeout ({attempt.value}, built in): an answer that "
            f"takes longer than that counts as late; raise both where answers are slow"
        )
        yield Finding(timeout.file, timeout.line, "timeout", rule)


def _grant_notes(platform: Platform, users: Sequence[Snapshot], now: datetime) -> Iterator[Finding]:
    """The notes about each exception. `users` are the services whose sidecar files are here too."""
    for grant in platform.grants:
        for field, rule in _grant_rules(grant, platform, users, now):
            yield Finding(grant.file, grant.line, field, rule, rule_id=RuleId.EXCEPTION_LIFE)


def _grant_rules(
    grant: Grant, platform: Platform, users: Sequence[Snapshot], now: datetime
) -> Iterator[tuple[str, str]]:
    exception = grant.exception
    state = state_of(exception, now)
    here = f"{grant.field} ({grant.id})"
    bound = platform.bounds.get(exception.setting)
    settled = platform.destination(exception.destination).values[exception.setting]
    if bound is None or bound.broken(grant.value, settled) is None:
        yield here, f"passes no guardrail: {exception.setting} may be {written(grant.value)} without it"
    life = life_rule(exception, "the guardrail", now)
    if life is not None:
        yield here, life
    if state is State.EXPIRED:
        return
    for snapshot in users:
        if snapshot.service in grant.services:
            excepted = (
                e
                for name, resolution in snapshot.resolutions.items()
                if name.partition(".")[0] == exception.destination
                for e in resolution.excepted.values()
            )
            used = any(e.grant.id == grant.id for e in excepted)
            if not used:
                yield here, f"is not used: {snapshot.service} asks for nothing past the guardrail"
