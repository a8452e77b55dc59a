import pytest

from sidecar.engine.policy import DestinationPolicy
from sidecar.governance.documents.finding import InvalidDocument
from sidecar.governance.documents.settings import ORDERED, SETTINGS
from sidecar.governance.documents.units import Duration, Size
from sidecar.governance.policy.ceilings import CEILINGS, ceiling_rule
from sidecar.governance.policy.engine_policy import engine_rule, settings_of
from sidecar.governance.policy.guardrails import BASELINE_GUARDRAILS
from sidecar.governance.policy.resolve import BASELINE
from sidecar.governance.policy.snapshot import Snapshot
from sidecar.governance.review.reference import bounds_of
from tests.fakes.documents import EXCEPTION, POLICY, SIDECAR, Loading

ORDERED_SETTINGS = [setting for setting, info in SETTINGS.items() if isinstance(info, ORDERED)]
FAR = 10**12


def far(setting: str, sign: int) -> object:
    return type(BASELINE.values[setting])(sign * FAR)


@pytest.mark.parametrize("setting", ORDERED_SETTINGS)
def test_every_number_has_a_least_and_a_most_that_no_document_lifts(setting: str) -> None:
    assert engine_rule(setting, far(setting, -1)) is not None
    assert engine_rule(setting, far(setting, 1)) is not None
    assert bounds_of(setting) != "-"


@pytest.mark.parametrize("setting", CEILINGS)
def test_what_is_built_in_is_within_and_the_ends_may_be_said(setting: str) -> None:
    least, most = CEILINGS[setting]

    assert ceiling_rule(setting, settings_of(DestinationPolicy())[setting]) is None
    assert ceiling_rule(setting, least) is None
    assert ceiling_rule(setting, most) is None
    assert ceiling_rule(setting, most + 1) == f"must be between {least} and {most}"


@pytest.mark.parametrize(("setting", "bound"), BASELINE_GUARDRAILS.items())
def test_the_built_in_guardrails_are_within_and_exceptions_to_them_too(setting: str, bound: object) -> None:
    for end in ("low", "high", "floor", "ceiling"):
        value = getattr(bound, end)
        if isinstance(value, (int, float)):
            assert engine_rule(setting, type(BASELINE.values[setting])(value)) is None


PLATFORM_THAT_ALLOWS_ALL = (
    "guardrails:\n"
    "  breaker.min_requests: {max: 1000000000}\n"
    "  breaker.consecutive_failures: {max: 1000000000}\n"
    "  concurrency.min_in_flight: {max: 1000000}\n"
    "  concurrency.max_in_flight: {max: 1000000}\n"
)


SWITCHED_OFF = {
    "a breaker that wants a million failures": "{breaker: {min_requests: 1000000, consecutive_failures: 1000000}}",
    "a breaker that opens at nothing but failures": "{breaker: {failure_ratio: 1}}",
    "a breaker that forgets at once": "{breaker: {window: 1s}}",
    "a breaker that remembers too much": "{breaker: {window: 5m}}",
    "a breaker that is open for no time": "{breaker: {open: 10ms, max_open: 10ms}}",
    "a breaker that lets everything try": "{breaker: {probes: 100}}",
    "a breaker that counts nothing": "{breaker: {statuses: []}}",
    "a breaker that counts what never comes": "{breaker: {statuses: [599]}}",
    "a budget whose free retries are all there are": "{budget: {min_retries: 100}}",
    "a budget whose free retries come every second": "{budget: {min_retries: 10, window: 1s}}",
    "a limit that never falls": "{concurrency: {min_in_flight: 1024}}",
    "a limit that never ends": "{concurrency: {max_in_flight: 10000}}",
    "a limit that is fixed where nobody comes": "{concurrency: {limit: fixed, initial: 10000, max_in_flight: 1024}}",
    "a line without an end": "{concurrency: {max_waiting: 1000000}}",
    "a wish to wait that is not heard": "{retry: {retry_after: {honour: false}}}",
    "retries that do not wait": "{retry: {backoff: {base: 0.5ms}}}",
    "retries of writes": "{retry: {methods: [POST]}}",
    "attempts without end": "{retry: {max_attempts: 1000}}",
    "memory without end": "{retry: {replay_buffer: 1GiB}}",
    "an attempt that is given up at once": "{per_attempt_timeout: 0.1ms}",
    "certificates that are not looked at": "{tls: {verify: false}}",
}


@pytest.mark.parametrize("overrides", SWITCHED_OFF.values(), ids=SWITCHED_OFF)
def test_no_team_switches_a_protection_off(overrides: str, loading: Loading) -> None:
    with pytest.raises(InvalidDocument, match=r"sidecar\.yaml:6: destinations\.payments\.overrides\..* must "):
        loading(sidecar=f"{SIDECAR}    overrides: {overrides}\n")


@pytest.mark.parametrize("where", ["defaults", "destinations"])
@pytest.mark.parametrize("numbers", ["{min_requests: 1001}", "{consecutive_failures: 1001}", "{statuses: [500]}"])
def test_a_platform_that_lifts_its_guardrails_meets_the_ceilings(numbers: str, where: str, loading: Loading) -> None:
    said = f"{{breaker: {numbers}}}" if where == "defaults" else f"{{payments: {{breaker: {numbers}}}}}"

    with pytest.raises(InvalidDocument, match=r"policy\.yaml:\d+: .*: must (be between 1 and 1000|name 503)"):
        loading(policy=f"{POLICY}{PLATFORM_THAT_ALLOWS_ALL}{where}: {said}\n")


def test_an_exception_reaches_no_further_than_the_ceiling(loading: Loading) -> None:
    exception = EXCEPTION.replace("budget.ratio", "breaker.min_requests").replace("0.35", "1001")

    with pytest.raises(InvalidDocument, match=r"exceptions\[0\]\.value: must be between 1 and 1000, got 1001"):
        loading(policy=POLICY + "guardrails:\n  breaker.min_requests: {max: 50, ceiling: 5000}\n" + exception)


def test_the_way_to_the_service_has_none_and_documents_about_it_do(loading: Loading) -> None:
    ingress = 'ingress: {listen: "0.0.0.0:16006", app: "http://127.0.0.1:8080"}\n'

    snapshot: Snapshot = loading(sidecar=SIDECAR + ingress)

    assert snapshot.ingress is not None
    assert snapshot.ingress.policy.breaker.min_requests == 10**9
    with pytest.raises(InvalidDocument, match=r"ingress\.overrides\.breaker\.min_requests"):
        loading(sidecar=SIDECAR + ingress.replace("}", ", overrides: {breaker: {min_requests: 10000}}}"))


def test_units_of_the_ceilings_are_the_settings_own() -> None:
    for setting, (least, most) in CEILINGS.items():
        kind = type(BASELINE.values[setting])
        assert (type(least), type(most)) == (kind, kind)
        assert kind in (int, Duration, Size)
