from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from msgspec import UNSET, UnsetType, structs

from sidecar.governance.document import PolicyException, read_policy
from sidecar.governance.exceptions import check_exceptions, live
from sidecar.governance.finding import Finding
from sidecar.governance.yaml import parse

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


def checked(*exceptions: PolicyException) -> list[str]:
    """Findings about exceptions, written as a document with one field on a line: `id` of the first at line 4."""
    lines = ["version: 1", "owner: platform", "exceptions:"]
    for exception in exceptions:
        fields = {name: value for name, value in structs.asdict(exception).items() if value is not UNSET}
        texts = [f"{name}: {value}" for name, value in fields.items()]
        lines += [("  - " if index == 0 else "    ") + text for index, text in enumerate(texts)]
    tree = parse("\n".join(lines).encode(), "p.yaml")
    findings: list[Finding] = []
    policy = read_policy(tree, findings)
    assert policy is not None
    check_exceptions(policy.exceptions, tree, findings)
    return [str(finding) for finding in findings]


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


def test_a_whole_exception_has_no_fault() -> None:
    assert checked(EXCEPTION) == []


@pytest.mark.parametrize(("service", "services"), [(UNSET, UNSET), ("checkout", ["checkout"])])
def test_an_exception_names_its_services_one_way(service: str | UnsetType, services: list[str] | UnsetType) -> None:
    findings = checked(structs.replace(EXCEPTION, service=service, services=services))

    assert findings == ["p.yaml:4: exceptions[0]: must name service or services, one of them"]


def test_an_exception_is_for_a_setting_that_exists() -> None:
    findings = checked(structs.replace(EXCEPTION, setting="budget.ratoi"))

    assert findings == ["p.yaml:7: exceptions[0].setting: budget.ratoi is not known; did you mean budget.ratio?"]


def test_the_value_is_one_that_the_setting_can_have() -> None:
    findings = checked(structs.replace(EXCEPTION, setting="timeout"))

    assert findings == [
        "p.yaml:8: exceptions[0].value: must be a duration with its unit, like 250ms, 2s, 1m or 24h, got 0.35"
    ]


def test_nobody_approves_their_own_exception() -> None:
    findings = checked(structs.replace(EXCEPTION, approved_by=["a.lee", "team-payments"]))

    assert findings == ['p.yaml:12: exceptions[0].approved_by: must not be approved by its owner, got "team-payments"']


@pytest.mark.parametrize(
    ("expires", "rule"),
    [
        (date(2026, 11, 24), "must be after not_before"),
        (date(2027, 2, 23), "must be at most 90 days after not_before"),
    ],
)
def test_an_exception_ends_in_time(expires: date, rule: str) -> None:
    findings = checked(structs.replace(EXCEPTION, expires=expires))

    assert findings == [f'p.yaml:14: exceptions[0].expires: {rule}, got "{expires}"']


def test_ninety_days_are_not_too_long() -> None:
    assert checked(structs.replace(EXCEPTION, expires=date(2027, 2, 22))) == []


def test_an_id_belongs_to_one_exception() -> None:
    findings = checked(EXCEPTION, structs.replace(EXCEPTION, destination="payments"))

    assert findings == ['p.yaml:15: exceptions[1].id: must not be another exception\'s id, got "EX-1"']


def test_a_fault_is_found_at_its_own_exception_behind_a_broken_one() -> None:
    broken = structs.replace(EXCEPTION, id="EX-0", reason="short")
    late = structs.replace(EXCEPTION, expires=date(2028, 1, 1))

    findings = checked(broken, late)

    assert findings == [
        'p.yaml:9: exceptions[0].reason: must have 20 characters or more, got "short"',
        'p.yaml:25: exceptions[1].expires: must be at most 90 days after not_before, got "2028-01-01"',
    ]
