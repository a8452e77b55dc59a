from sidecar.governance.documents.finding import Finding
from sidecar.governance.documents.limits import WireLimits
from sidecar.governance.policy.delivery import Delivery
from sidecar.governance.policy.guardrails import BASELINE_GUARDRAILS
from sidecar.governance.policy.platform_policy import Platform
from sidecar.governance.policy.resolve import BASELINE
from tests.fakes.documents import EXCEPTION, POLICY


def read(text: str) -> tuple[Platform, list[str]]:
    findings: list[Finding] = []
    platform = Platform.read(Delivery("p.yaml", text.encode()), findings)
    return platform, [str(finding) for finding in findings]


def test_without_a_policy_the_compiled_in_one_holds() -> None:
    platform = Platform.read(None, [])

    assert (platform.version, platform.defaults, platform.bounds) == (0, BASELINE, BASELINE_GUARDRAILS)
    assert platform.limits == WireLimits()
    assert platform.tree is None


def test_what_a_destination_does_not_say_it_has_from_the_defaults() -> None:
    platform, findings = read(POLICY + "defaults: {timeout: 4s}\ndestinations: {ledger: {idle_timeout: 9s}}\n")

    ledger = platform.destination("ledger").policy

    assert findings == []
    assert (ledger.timeout, ledger.idle_timeout) == (4.0, 9.0)
    assert platform.destination("payments") is platform.defaults


def test_exceptions_are_judged_by_the_guardrails_of_their_own_document() -> None:
    guardrail = "guardrails: {budget.ratio: {max: 0.1, ceiling: 0.3}}\n"

    platform, findings = read(POLICY + guardrail + EXCEPTION)

    assert platform.grants == ()
    rule = "must be at most 0.3 (ceiling of the guardrail, p.yaml:3)"
    assert findings == [f"p.yaml:9: exceptions[0].value: {rule}, got 0.35"]


def test_a_policy_that_is_no_mapping_leaves_the_baseline_to_find_more_by() -> None:
    platform, findings = read("[]")

    assert findings == ["p.yaml:1: must be a mapping, got []"]
    assert platform.version == 0
