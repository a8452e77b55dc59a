from datetime import date

from msgspec import UNSET

from sidecar.governance.documents.document import PolicyDocument, SidecarDocument, read_policy, read_sidecar
from sidecar.governance.documents.finding import Finding
from sidecar.governance.documents.yaml import parse
from tests.fakes.documents import POLICY, SIDECAR


def policy(text: str) -> tuple[PolicyDocument, list[str]]:
    findings: list[Finding] = []
    document = read_policy(parse(text.encode(), "p.yaml"), findings)
    assert document is not None
    return document, [str(finding) for finding in findings]


def sidecar(text: str) -> tuple[SidecarDocument, list[str]]:
    findings: list[Finding] = []
    document = read_sidecar(parse(text.encode(), "s.yaml"), findings)
    assert document is not None
    return document, [str(finding) for finding in findings]


EXCEPTION = """\
exceptions:
  - id: EX-2026-014
    service: checkout
    destination: ledger
    setting: budget.ratio
    value: 0.35
    reason: "Month-end batch; ledger confirmed 3x headroom"
    ticket: PAY-812
    owner: team-payments
    approved_by: [a.lee, b.ortiz]
    not_before: 2026-11-24
    expires: 2026-12-05
"""


def test_a_policy_needs_a_version_and_an_owner_only() -> None:
    document, findings = policy(POLICY)

    assert findings == []
    assert (document.version, document.owner, document.via, document.access_log.sample) == (7, "platform", True, 0.0)


def test_an_exception_is_read_with_its_dates() -> None:
    document, findings = policy(POLICY + EXCEPTION)

    assert findings == []
    [exception] = document.exceptions
    assert (exception.service, exception.services, exception.value) == ("checkout", UNSET, 0.35)
    assert (exception.not_before, exception.expires) == (date(2026, 11, 24), date(2026, 12, 5))


def test_an_exception_is_for_services_that_have_names() -> None:
    _, findings = policy(POLICY + EXCEPTION.replace("checkout", '"*"'))

    rule = "must be the name of one service: an exception is never for all of them"
    assert findings == [f'p.yaml:5: exceptions[0].service: {rule}, got "*"']


def test_the_reserved_name_is_refused_in_both_documents() -> None:
    _, in_policy = policy(POLICY + "destinations: {unlisted: {}}\n")
    _, in_sidecar = sidecar(SIDECAR.replace("  payments:", "  unlisted:"))

    assert in_policy == [
        "p.yaml:3: destinations.unlisted: is a reserved name: what no destination names has `defaults`"
    ]
    assert in_sidecar == ["s.yaml:4: destinations.unlisted: is a reserved name: give the destination another"]


def test_a_sidecar_file_that_says_little_has_the_promised_ports() -> None:
    document, findings = sidecar("service: checkout\n")

    assert findings == []
    assert document.admin.listen == "127.0.0.1:16000"
    assert document.egress.listen == ["127.0.0.1:16001", "[::1]:16001"]
    assert (document.egress.unlisted, document.egress.connect, document.drain) == ("forward", "tunnel", 25.0)


def test_a_retention_has_a_unit() -> None:
    _, broken = sidecar(SIDECAR + "    idempotency_key: {honours: true, retention: 1d}\n")

    path = "s.yaml:6: destinations.payments.idempotency_key.retention:"
    assert broken == [f'{path} must be a duration with its unit, like 250ms, 2s, 1m or 24h, got "1d"']


def test_a_key_contract_stands_beside_the_overrides() -> None:
    _, findings = sidecar(SIDECAR + "    overrides: {idempotency_key: {honours: true}}\n")

    path = "s.yaml:6: destinations.payments.overrides.idempotency_key:"
    assert findings == [f"{path} stands beside overrides, in destinations.payments"]


def test_a_drain_ends_within_the_hour() -> None:
    _, findings = sidecar("service: checkout\ndrain: 61m\n")

    assert findings == ['s.yaml:2: drain: must be at most 1h, got "61m"']


def test_transparent_listeners_have_their_default_where_they_are_wanted_and_are_none_otherwise() -> None:
    without, _ = sidecar(SIDECAR)
    wanted, findings = sidecar(SIDECAR + "egress: {transparent: {}, connect: refuse_governed}\n")

    assert without is not None
    assert wanted is not None
    assert without.egress.transparent is UNSET
    assert wanted.egress.transparent is not UNSET
    assert wanted.egress.transparent.listen == ["127.0.0.1:16007", "[::1]:16007"]
    assert wanted.egress.connect == "refuse_governed"
    assert findings == []
