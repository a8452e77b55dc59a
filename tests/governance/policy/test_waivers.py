from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from msgspec import UNSET, UnsetType, structs

from sidecar.governance.documents.bound import Bound
from sidecar.governance.documents.document import PolicyException, read_policy
from sidecar.governance.documents.finding import Finding
from sidecar.governance.documents.yaml import parse
from sidecar.governance.policy.guardrails import BASELINE_GUARDRAILS, read_guardrails
from sidecar.governance.policy.waivers import Exemptions, Grant, State, live, read_exceptions, state_of

EXCEPTION = PolicyException(
    id="EX-1",
    service="checkout",
    destination="ledger",
    setting="budget.ratio",
    value=0.35,
    reason="Month-end batch; ledger confirmed 3x headroom",
    ticket="PAY-812",
    owner="team-payments",
    approved_by=["a.lee", "b.ortiz"],
    not_before=date(2026, 11, 24),
    expires=date(2026, 12, 5),
)


def read(*exceptions: PolicyException, guardrails: str = "{}") -> tuple[list[Grant], list[str]]:
    """Exceptions and findings about them, from a document with one field on a line: `id` of the first at line 5."""
    lines = ["version: 1", "owner: platform", f"guardrails: {guardrails}", "exceptions:"]
    for exception in exceptions:
        fields = {name: value for name, value in structs.asdict(exception).items() if value is not UNSET}
        texts = [f"{name}: {value}" for name, value in fields.items()]
        lines += [("  - " if index == 0 else "    ") + text for index, text in enumerate(texts)]
    tree = parse("\n".join(lines).encode(), "p.yaml")
    findings: list[Finding] = []
    policy = read_policy(tree, findings)
    assert policy is not None
    bounds = read_guardrails(policy.guardrails, tree, findings)
    grants = read_exceptions(policy.exceptions, bounds, tree, findings)
    return grants, [str(finding) for finding in findings]


def checked(*exceptions: PolicyException, guardrails: str = "{}") -> list[str]:
    return read(*exceptions, guardrails=guardrails)[1]


@pytest.mark.parametrize(
    ("now", "alive"),
    [
        (datetime(2026, 11, 23, 23, 59, 59, 999999, UTC), False),
        (datetime(2026, 11, 24, tzinfo=UTC), True),
        (datetime(2026, 12, 4, 23, 59, 59, 999999, UTC), True),
        (datetime(2026, 12, 5, tzinfo=UTC), False),
        (datetime(2026, 12, 5, 1, tzinfo=timezone(timedelta(hours=2))), True),
    ],
)
def test_an_exception_is_live_from_its_first_day_until_the_instant_it_expires(now: datetime, *, alive: bool) -> None:
    assert live(EXCEPTION, now) is alive


@pytest.mark.parametrize(
    ("now", "state"),
    [
        (datetime(2026, 11, 23, 23, 59, 59, 999999, UTC), State.PENDING),
        (datetime(2026, 11, 24, tzinfo=UTC), State.LIVE),
        (datetime(2026, 12, 5, tzinfo=UTC), State.EXPIRED),
    ],
)
def test_what_is_not_live_is_pending_before_and_expired_after(now: datetime, state: State) -> None:
    assert state_of(EXCEPTION, now) is state


def test_a_whole_exception_has_no_fault() -> None:
    grants, findings = read(EXCEPTION)

    assert findings == []
    assert [(grant.id, grant.services, grant.value, grant.place) for grant in grants] == [
        ("EX-1", {"checkout"}, 0.35, "p.yaml:5")
    ]


def test_an_exception_with_a_fault_grants_nothing() -> None:
    grants, findings = read(structs.replace(EXCEPTION, value=5))

    assert grants == []
    assert findings == [
        "p.yaml:9: exceptions[0].value: must be at most 0.5 (ceiling of the guardrail, built in), got 5"
    ]


@pytest.mark.parametrize(
    ("setting", "value", "guardrails", "rule"),
    [
        ("budget.ratio", 0.6, "{budget.ratio: {max: 0.2, ceiling: 0.4}}", "at most 0.4 (ceiling of the guardrail"),
        ("budget.ratio", 0.6, "{budget.ratio: {max: 0.2}}", "at most 0.5 (ceiling of the guardrail"),
        ("budget.ratio", 0.9, "{budget.ratio: {max: 0.8}}", "at most 0.8 (ceiling of the guardrail"),
        ("budget.ratio", 1.5, "{budget.ratio: {max: 0.2, ceiling: 3}}", "between 0 and 1.0"),
        ("budget.ratio", 0.6, "{budget.ratio: {fixed: true, ceiling: 0.4}}", "at most 0.4 (ceiling of the guardrail"),
        ("retry.max_attempts", 7, "{}", "at most 6 (ceiling of the guardrail, built in)"),
        ("retry.max_attempts", 11, "{retry.max_attempts: {max: 4, ceiling: 20}}", "between 1 and 10"),
        ("retry.backoff.base", "1ms", "{retry.backoff.base: {min: 25ms, floor: 5ms}}", "at least 5ms (floor"),
        ("retry.backoff.base", "0.5ms", "{retry.backoff.base: {min: 25ms}}", "between 1ms and 1m"),
        ("timeout", "2h", "{timeout: {max: 1m}}", "over 0s and at most 1h"),
        ("retry.statuses", "[200]", "{retry.statuses: {only: [503]}}", "408, 425, 429 or 5xx"),
    ],
)
def test_no_exception_goes_over_a_ceiling_of_the_guardrail_or_of_the_engine(
    setting: str, value: object, guardrails: str, rule: str
) -> None:
    findings = checked(structs.replace(EXCEPTION, setting=setting, value=value), guardrails=guardrails)

    assert len(findings) == 1
    assert findings[0].startswith(f"p.yaml:9: exceptions[0].value: must be {rule}")


def test_a_value_that_only_another_setting_forbids_is_the_overrides_business() -> None:
    longer = structs.replace(EXCEPTION, setting="retry.backoff.base", value="2s")

    assert checked(longer, guardrails="{retry.backoff.base: {max: 1s}}") == []


@pytest.mark.parametrize(("service", "services"), [(UNSET, UNSET), ("checkout", ["checkout"])])
def test_an_exception_names_its_services_one_way(service: str | UnsetType, services: list[str] | UnsetType) -> None:
    findings = checked(structs.replace(EXCEPTION, service=service, services=services))

    assert findings == ["p.yaml:5: exceptions[0]: must name service or services, one of them"]


def test_an_exception_is_for_a_setting_that_exists() -> None:
    findings = checked(structs.replace(EXCEPTION, setting="budget.ratoi"))

    assert findings == ["p.yaml:8: exceptions[0].setting: budget.ratoi is not known; did you mean budget.ratio?"]


def test_the_value_is_one_that_the_setting_can_have() -> None:
    findings = checked(structs.replace(EXCEPTION, setting="timeout"))

    assert findings == [
        "p.yaml:9: exceptions[0].value: must be a duration with its unit, like 250ms, 2s, 1m or 24h, got 0.35"
    ]


def test_nobody_approves_their_own_exception() -> None:
    findings = checked(structs.replace(EXCEPTION, approved_by=["a.lee", "team-payments"]))

    assert findings == ['p.yaml:13: exceptions[0].approved_by: must not be approved by its owner, got "team-payments"']


@pytest.mark.parametrize(
    ("expires", "rule"),
    [
        (date(2026, 11, 24), "must be after not_before"),
        (date(2027, 2, 23), "must be at most 90 days after not_before"),
    ],
)
def test_an_exception_ends_in_time(expires: date, rule: str) -> None:
    findings = checked(structs.replace(EXCEPTION, expires=expires))

    assert findings == [f'p.yaml:15: exceptions[0].expires: {rule}, got "{expires}"']


def test_ninety_days_are_not_too_long() -> None:
    assert checked(structs.replace(EXCEPTION, expires=date(2027, 2, 22))) == []


@pytest.mark.parametrize("approver", ["Team-Payments", " team-payments", "@team-payments"])
def test_nobody_approves_their_own_exception_by_writing_themselves_another_way(approver: str) -> None:
    findings = checked(structs.replace(EXCEPTION, approved_by=[approver]))

    assert len(findings) == 1
    assert "must not be approved by its owner" in findings[0]


HARD = "{budget.ratio: {max: 0.2, level: hard}}"


@pytest.mark.parametrize("approvers", [["a.lee"], ["a.lee", "A.Lee"]])
def test_a_hard_guardrail_wants_two_people(approvers: list[str]) -> None:
    findings = checked(structs.replace(EXCEPTION, approved_by=approvers), guardrails=HARD)

    assert len(findings) == 1
    assert "p.yaml:13: exceptions[0].approved_by: must name two people: the guardrail is hard (p.yaml:3)" in findings[0]
    assert checked(structs.replace(EXCEPTION, approved_by=approvers)) == []


def test_an_exception_from_a_hard_guardrail_lasts_for_thirty_days() -> None:
    thirty = structs.replace(EXCEPTION, expires=date(2026, 12, 24))
    more = structs.replace(EXCEPTION, expires=date(2026, 12, 25))

    rule = "must be at most 30 days after not_before: the guardrail is hard (p.yaml:3)"
    assert checked(thirty, guardrails=HARD) == []
    assert checked(more, guardrails=HARD) == [f'p.yaml:15: exceptions[0].expires: {rule}, got "2026-12-25"']
    assert checked(more) == []


def test_an_exception_is_never_for_every_service() -> None:
    findings = checked(structs.replace(EXCEPTION, service="'*'"))

    rule = "must be the name of one service: an exception is never for all of them"
    assert findings == [f'p.yaml:6: exceptions[0].service: {rule}, got "*"']


def test_an_id_belongs_to_one_exception() -> None:
    findings = checked(EXCEPTION, structs.replace(EXCEPTION, destination="payments"))

    assert findings == ['p.yaml:16: exceptions[1].id: must not be another exception\'s id, got "EX-1"']


def test_a_fault_is_found_at_its_own_exception_behind_a_broken_one() -> None:
    broken = structs.replace(EXCEPTION, id="EX-0", reason="short")
    late = structs.replace(EXCEPTION, expires=date(2028, 1, 1))

    findings = checked(broken, late)

    assert findings == [
        'p.yaml:10: exceptions[0].reason: must have 20 characters or more, got "short"',
        'p.yaml:26: exceptions[1].expires: must be at most 90 days after not_before, got "2028-01-01"',
    ]


# What they say about a value past its guardrail

NOW = datetime(2026, 11, 30, tzinfo=UTC)
RATIO = BASELINE_GUARDRAILS["budget.ratio"]


def ruling(
    *exceptions: PolicyException,
    value: object = 0.3,
    bound: Bound = RATIO,
    service: str = "checkout",
    destination: str = "ledger",
    now: datetime = NOW,
) -> tuple[str | None, State | None, str]:
    grants = [Grant(e, frozenset({str(e.service)}), e.value, "p.yaml", 5, "exceptions[0]") for e in exceptions]
    ruled = Exemptions(grants, service, destination, now).rule(exceptions[0].setting, value, bound)
    return (None if ruled.grant is None else ruled.grant.id, ruled.state, ruled.reason)


def test_a_live_exception_lets_pass_what_goes_no_further_than_itself() -> None:
    assert ruling(EXCEPTION, value=0.3) == ("EX-1", State.LIVE, "")
    assert ruling(EXCEPTION, value=0.35) == ("EX-1", State.LIVE, "")
    assert ruling(EXCEPTION, value=0.36) == (None, None, "exception EX-1 (p.yaml:5) goes to 0.35 only")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2026, 11, 23, 23, 59, 59, 999999, UTC), ("EX-1", State.PENDING, "")),
        (datetime(2026, 11, 24, tzinfo=UTC), ("EX-1", State.LIVE, "")),
        (datetime(2026, 12, 4, 23, 59, 59, 999999, UTC), ("EX-1", State.LIVE, "")),
        (
            datetime(2026, 12, 5, tzinfo=UTC),
            ("EX-1", State.EXPIRED, "exception EX-1 (p.yaml:5) expired on 2026-12-05"),
        ),
    ],
)
def test_it_does_so_during_its_life_only(now: datetime, expected: tuple[str | None, State | None, str]) -> None:
    assert ruling(EXCEPTION, now=now) == expected


def test_someone_elses_exception_is_of_no_use() -> None:
    assert ruling(EXCEPTION, service="billing") == (None, None, "exception EX-1 (p.yaml:5) is for service checkout")
    assert ruling(EXCEPTION, destination="payments") == (
        None,
        None,
        "exception EX-1 (p.yaml:5) is for destination ledger",
    )
    assert ruling(EXCEPTION, service="billing", destination="payments") == (None, None, "")


def test_an_exception_is_for_its_setting_only() -> None:
    other = structs.replace(EXCEPTION, setting="budget.min_retries", value=50)

    ruled = Exemptions(
        [Grant(other, frozenset({"checkout"}), 50, "p.yaml", 5, "exceptions[0]")], "checkout", "ledger", NOW
    )

    assert ruled.rule("budget.ratio", 0.3, RATIO).grant is None


def test_a_live_exception_is_preferred_to_one_that_comes_and_that_to_one_that_is_over() -> None:
    over = structs.replace(EXCEPTION, id="EX-0", not_before=date(2026, 10, 1), expires=date(2026, 11, 1))
    coming = structs.replace(EXCEPTION, id="EX-2", not_before=date(2026, 12, 5), expires=date(2026, 12, 9))

    assert ruling(over, coming, EXCEPTION)[0] == "EX-1"
    assert ruling(over, coming)[0] == "EX-2"


@pytest.mark.parametrize(
    ("bound", "excepted", "passes", "fails"),
    [
        (Bound("p", low=0.1), 0.05, 0.07, 0.04),
        (Bound("p", low=0.1, high=0.2), 0.3, 0.25, 0.05),
        (Bound("p", low=0.1, high=0.2), 0.05, 0.07, 0.25),
        (Bound("p", fixed=True), 0.3, 0.3, 0.25),
        (Bound("p", only=frozenset({503})), frozenset({500}), frozenset({500, 503}), frozenset({502, 503})),
        (Bound("p", only=frozenset({True})), False, False, None),
    ],
)
def test_every_form_of_guardrail_is_passed_on_the_side_of_the_exception_only(
    bound: Bound, excepted: object, passes: object, fails: object
) -> None:
    exception = structs.replace(EXCEPTION, value=excepted)

    assert ruling(exception, value=passes, bound=bound)[1] is State.LIVE
    assert ruling(exception, value=fails, bound=bound)[1] is None
