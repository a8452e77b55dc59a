"""Exceptions: the only way past a guardrail. Written, reviewed, bounded, and over by themselves.

`live` is the one place that says whether an exception holds; the clock is an argument. An exception moves nothing by
itself: it lets one override of one service, for one destination and one setting, go past the guardrail as far as its
own value.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from typing import Protocol, assert_never

from msgspec import UNSET, Struct

from sidecar.governance.documents.bound import Bound, written
from sidecar.governance.documents.decoder import INVALID, Decoder
from sidecar.governance.documents.document import PolicyException
from sidecar.governance.documents.finding import Finding, RuleId, dotted, unknown
from sidecar.governance.documents.settings import SETTINGS, held
from sidecar.governance.documents.yaml import Path, Tree
from sidecar.governance.policy.engine_policy import engine_rule

LONGEST = timedelta(days=90)
LONGEST_HARD = timedelta(days=30)
"""The longest life where the guardrail's level is hard."""
APPROVERS_HARD = 2


SOON = timedelta(days=7)
"""An exception that ends within this is noted."""


class State(Enum):
    """An exception at one instant."""

    PENDING = "pending"
    LIVE = "live"
    EXPIRED = "expired"


class Waiver(Protocol):
    """The fields that every exception has: to a guardrail of a policy, or to a rule of the gate."""

    @property
    def owner(self) -> str:
        """The person who asked for it, and answers for it."""

    @property
    def approved_by(self) -> list[str]:
        """The people who agreed."""

    @property
    def not_before(self) -> date:
        """Its first day."""

    @property
    def expires(self) -> date:
        """The first day after its last."""


def live(exception: Waiver, now: datetime) -> bool:
    """Whether the exception holds at `now`, an aware time: from 00:00 UTC of not_before until 00:00 UTC of expires."""
    return begins_at(exception) <= now < ends_at(exception)


def state_of(exception: Waiver, now: datetime) -> State:
    """The state of an exception at `now`: live, or before or after its life."""
    if live(exception, now):
        return State.LIVE
    return State.PENDING if now < begins_at(exception) else State.EXPIRED


def begins_at(exception: Waiver) -> datetime:
    """The first instant of its life."""
    return datetime.combine(exception.not_before, time(), UTC)


def ends_at(exception: Waiver) -> datetime:
    """The first instant after its life."""
    return datetime.combine(exception.expires, time(), UTC)


def life_rule(exception: Waiver, bound: str, now: datetime) -> str | None:
    """The note about the life of an exception at `now`; None where there is nothing to say.

    `bound` is what holds again when it is over, as in `the guardrail`.
    """
    match state_of(exception, now):
        case State.EXPIRED:
            return f"is over since {exception.expires}: take it out"
        case State.PENDING:
            return f"is not live before {exception.not_before}"
        case State.LIVE if ends_at(exception) - now <= SOON:
            return f"ends in {span_text(ends_at(exception) - now)}: {bound} holds again from {exception.expires}"
        case State.LIVE:
            return None


def span_text(span: timedelta) -> str:
    """A span in days, or in hours where it is less than two of them."""
    if span >= timedelta(days=2):
        return f"{span.days} days"
    hours = max(1, round(span.total_seconds() / 3600))
    return f"{hours} hour{'' if hours == 1 else 's'}"


def check_waiver(exception: Waiver, path: Path, decoder: Decoder, *, hard: str | None) -> None:
    """Find what is wrong with the approval and the term of an exception that stands at `path`.

    `hard` says why two people must approve and a month must do, as in `the guardrail is hard (policy.yaml:9)`; None
    where one approver and 90 days are enough.
    """
    _check_approval(exception, (*path, "approved_by"), decoder, hard=hard)
    longest = LONGEST if hard is None else LONGEST_HARD
    if exception.expires <= exception.not_before:
        rule = "must be after not_before"
        decoder.broken((*path, "expires"), rule, exception.expires.isoformat(), RuleId.EXCEPTION_TERM)
    elif exception.expires - exception.not_before > longest:
        rule = f"must be at most {longest.days} days after not_before" + ("" if hard is None else f": {hard}")
        decoder.broken((*path, "expires"), rule, exception.expires.isoformat(), RuleId.EXCEPTION_TERM)


class Grant(Struct, frozen=True):
    """An exception that holds together, whatever the time is. `value` is the setting's; it stands at `field`."""

    exception: PolicyException
    services: frozenset[str]
    value: object
    file: str
    line: int
    field: str

    @property
    def place(self) -> str:
        """`policy.yaml:31`."""
        return f"{self.file}:{self.line}"

    @property
    def id(self) -> str:
        """The exception's id."""
        return self.exception.id

    def __str__(self) -> str:
        return f"exception {self.id} ({self.place})"


class Ruling(Struct, frozen=True):
    """The decision of a policy's exceptions about a value that is past its guardrail.

    With a `grant` the value stands or falls by it: in force while LIVE, held back while PENDING. `reason` says why a
    value that is neither is refused, as far as an exception comes near; empty when none does.
    """

    grant: Grant | None
    state: State | None
    reason: str


_NEARNESS = (State.LIVE, State.PENDING, State.EXPIRED)
_UNHEARD = Ruling(None, None, "")


class Exemptions(Struct, frozen=True):
    """The exceptions of a policy as one service, calling one destination at one instant, is concerned by them.

    `forgiving` asks what would be, were none of them over yet.
    """

    grants: Sequence[Grant]
    service: str
    destination: str
    now: datetime
    forgiving: bool = False

    def rule(self, setting: str, value: object, bound: Bound) -> Ruling:
        """Judge a value that breaks `bound`. The first live exception that goes far enough lets it pass."""
        own = [grant for grant in self._about(setting) if self._own(grant)]
        by_state = [(self._state(grant), grant) for grant in own]
        by_state.sort(key=lambda pair: _NEARNESS.index(pair[0]))
        for state, grant in by_state:
            if bound.excuses(value, grant.value):
                return Ruling(grant, state, _shortfall(grant, state) if state is State.EXPIRED else "")
        for state, grant in by_state:
            return Ruling(None, None, _shortfall(grant, state))
        for grant in self._about(setting):
            if grant.exception.destination == self.destination:
                return Ruling(None, None, f"{grant} is for {_named('service', sorted(grant.services))}")
            if self.service in grant.services:
                return Ruling(None, None, f"{grant} is for destination {grant.exception.destination}")
        return _UNHEARD

    def _state(self, grant: Grant) -> State:
        state = state_of(grant.exception, self.now)
        return State.LIVE if self.forgiving and state is State.EXPIRED else state

    def _about(self, setting: str) -> Iterator[Grant]:
        return (grant for grant in self.grants if grant.exception.setting == setting)

    def _own(self, grant: Grant) -> bool:
        return self.service in grant.services and grant.exception.destination == self.destination


def read_exceptions(
    exceptions: Iterable[PolicyException], bounds: Mapping[str, Bound], tree: Tree, findings: list[Finding]
) -> list[Grant]:
    """The exceptions that hold together, whatever the time is; what is wrong with others is added to `findings`."""
    decoder = Decoder(tree, findings)
    places = list(_places(tree))
    seen: set[str] = set()
    grants = []
    for exception in exceptions:
        path = next(path for path, identity in places if identity == exception.id)
        places.remove((path, exception.id))
        before = len(findings)
        if exception.id in seen:
            decoder.broken((*path, "id"), "must not be another exception's id", exception.id, RuleId.DUPLICATE)
        seen.add(exception.id)
        value = _check(exception, bounds, path, decoder)
        if len(findings) == before and services_of(exception):
            line = tree.line(path)
            grants.append(Grant(exception, services_of(exception), value, tree.file, line, dotted(path)))
    return grants


def services_of(exception: PolicyException) -> frozenset[str]:
    """The services it is for."""
    named = [] if exception.service is UNSET else [exception.service]
    return frozenset(named if exception.services is UNSET else [*named, *exception.services])


def _places(tree: Tree) -> Iterator[tuple[Path, object]]:
    """The place of each exception, with its id, in order: also of the broken ones."""
    listed = tree.at(("exceptions",)) if ("exceptions",) in tree.lines else []
    for index, entry in enumerate(listed if isinstance(listed, list) else []):
        yield ("exceptions", index), entry.get("id") if isinstance(entry, dict) else None


def _check(exception: PolicyException, bounds: Mapping[str, Bound], path: Path, decoder: Decoder) -> object:
    """The value, as the setting has it; INVALID with a finding when it can not be."""
    if ((*path, "service") in decoder.tree.lines) == ((*path, "services") in decoder.tree.lines):
        decoder.lacking(path, "must name service or services, one of them", RuleId.EXCEPTION_SCOPE)
    bound = bounds.get(exception.setting)
    value: object = INVALID
    if exception.setting not in SETTINGS:
        rule = f"{exception.setting} {unknown(exception.setting, SETTINGS)}"
        decoder.lacking((*path, "setting"), rule, RuleId.UNKNOWN)
    else:
        value = _value(exception, bound, (*path, "value"), decoder)
    hard = f"the guardrail is hard ({bound.place})" if bound is not None and bound.hard else None
    check_waiver(exception, path, decoder, hard=hard)
    return value


def _value(exception: PolicyException, bound: Bound | None, path: Path, decoder: Decoder) -> object:
    decoded = decoder.value(exception.value, SETTINGS[exception.setting].type, path)
    if decoded is INVALID:
        return INVALID
    value = held(decoded)
    rule = None if bound is None else bound.out_of_reach(value)
    if rule is not None:
        return decoder.broken(path, rule, exception.value, RuleId.EXCEPTION_CEILING)
    broken = engine_rule(exception.setting, value)
    return value if broken is None else decoder.broken(path, broken.rule, exception.value, broken.rule_id)


def _check_approval(exception: Waiver, path: Path, decoder: Decoder, *, hard: str | None) -> None:
    approvers = {_person(name): name for name in exception.approved_by}
    owner = approvers.get(_person(exception.owner))
    if owner is not None:
        decoder.broken(path, "must not be approved by its owner", owner, RuleId.EXCEPTION_APPROVAL)
    elif hard is not None and len(approvers) < APPROVERS_HARD:
        decoder.broken(path, f"must name two people: {hard}", exception.approved_by, RuleId.EXCEPTION_APPROVAL)


def _person(name: str) -> str:
    """The form in which names are compared, so that another spelling is no second approver."""
    return name.strip().lstrip("@").casefold()


def _shortfall(grant: Grant, state: State) -> str:
    """The reason why an exception of one's own does not help."""
    match state:
        case State.LIVE:
            return f"{grant} goes to {written(grant.value)} only"
        case State.PENDING:
            return f"{grant} goes to {written(grant.value)} only, and is not live before {grant.exception.not_before}"
        case State.EXPIRED:
            return f"{grant} expired on {grant.exception.expires}"
    assert_never(state)


def _named(noun: str, names: Sequence[str]) -> str:
    return f"{noun} {names[0]}" if len(names) == 1 else f"{noun}s {', '.join(names)}"
