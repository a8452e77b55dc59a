import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.engine.policy import DestinationPolicy
from sidecar.governance.documents.finding import InvalidDocument, RuleBreach, RuleId
from sidecar.governance.documents.settings import SETTINGS
from sidecar.governance.documents.units import Duration, Size
from sidecar.governance.policy.engine_policy import engine_rule, settings_of
from sidecar.governance.policy.guardrails import BASELINE_GUARDRAILS
from sidecar.governance.policy.resolve import BASELINE
from sidecar.governance.policy.snapshot import Snapshot
from sidecar.governance.review.reference import bounds_of
from tests.fakes.documents import EXCEPTION, POLICY, SIDECAR, Loading

ROOT = Path(__file__).resolve().parents[3]
ORDERED_SETTINGS = [setting for setting, spec in SETTINGS.items() if spec.ordered]
CEILINGS = {setting: spec.ceiling for setting, spec in SETTINGS.items() if spec.ceiling is not None}
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

    assert SETTINGS[setting].ceiling_rule(settings_of(DestinationPolicy())[setting]) is None
    assert SETTINGS[setting].ceiling_rule(least) is None
    assert SETTINGS[setting].ceiling_rule(most) is None
    assert SETTINGS[setting].ceiling_rule(most + 1) == RuleBreach(f"must be between {least} and {most}", RuleId.BOUNDS)


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


MADE_UP_FIELD = """
    made_up: Annotated[
        int | UnsetType,
        SettingSpec(
            "A setting that only this test knows.",
            Looser.MORE,
            ceiling=(1, 50),
            guardrail=Bound(BUILT_IN, high=10, ceiling=20),
        ),
    ] = UNSET
"""
BEFORE_BREAKER = "\nclass BreakerSettings("
MIN_RETRIES = "    min_retries: int = 3\n"
INSERTIONS = {
    "sidecar/governance/documents/settings.py": (BEFORE_BREAKER, MADE_UP_FIELD + "\n" + BEFORE_BREAKER),
    "sidecar/engine/policy.py": (MIN_RETRIES, MIN_RETRIES + "    made_up: int = 7\n"),
}
OVERRIDE_OF_IT = SIDECAR + "    overrides: {budget: {made_up: NUMBER}}\n"
DEFAULT_OF_IT = POLICY + "defaults: {budget: {made_up: NUMBER}}\n"
DOCUMENTS = {
    "past_guardrail.yaml": OVERRIDE_OF_IT.replace("NUMBER", "11"),
    "no_number.yaml": OVERRIDE_OF_IT.replace("NUMBER", "many"),
    "past_ceiling.yaml": DEFAULT_OF_IT.replace("NUMBER", "51") + "guardrails: {budget.made_up: {max: 100}}\n",
    "sidecar.yaml": OVERRIDE_OF_IT.replace("NUMBER", "9"),
    "policy.yaml": DEFAULT_OF_IT.replace("NUMBER", "8"),
    "newer.yaml": DEFAULT_OF_IT.replace("NUMBER", "9"),
}
COMMANDS = {
    "schema": "schema policy",
    "past_guardrail": "check past_guardrail.yaml",
    "past_ceiling": "check past_ceiling.yaml",
    "no_number": "check no_number.yaml",
    "explain": "explain payments budget.made_up --config sidecar.yaml",
    "diff": "diff policy.yaml newer.yaml",
}
RUNNER = """
import json, sys
from click.testing import CliRunner
from sidecar.cli import main
from sidecar.governance.review.reference import reference
said = {name: CliRunner().invoke(main, ["policy", *line.split()]).output for name, line in json.load(sys.stdin).items()}
print(json.dumps({**said, "reference": reference()}))
"""


@pytest.fixture(scope="module")
def with_another_setting(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The answers of COMMANDS in a copy of the package with one more setting: its field, and the engine's number."""
    root = tmp_path_factory.mktemp("another")
    shutil.copytree(ROOT / "sidecar", root / "sidecar", ignore=shutil.ignore_patterns("__pycache__"))
    for path, (mark, text) in INSERTIONS.items():
        source = (root / path).read_text(encoding="utf-8")
        assert source.count(mark) == 1
        (root / path).write_text(source.replace(mark, text), encoding="utf-8")
    for name, text in DOCUMENTS.items():
        (root / name).write_text(text, encoding="utf-8")
    command = [sys.executable, "-c", RUNNER]
    done = subprocess.run(command, cwd=root, input=json.dumps(COMMANDS), capture_output=True, text=True, check=True)
    answers: dict[str, str] = json.loads(done.stdout)
    return answers


def test_a_new_setting_is_a_field_with_its_spec_and_known_everywhere(with_another_setting: dict[str, str]) -> None:
    answers = with_another_setting

    settings = json.loads(answers["schema"])["$defs"]["settings"]["properties"]
    assert settings["budget"]["properties"]["made_up"] == {
        "description": "A setting that only this test knows.",
        "type": "integer",
        "minimum": 1,
        "maximum": 50,
    }
    row = "| `budget.made_up` | `7` | between 1 and 50 | `{max: 10, ceiling: 20}` | more | A setting that only this"
    assert row in answers["reference"]
    assert "must be at most 10 (guardrail, built in), got 11" in answers["past_guardrail"]
    assert "must be between 1 and 50, got 51" in answers["past_ceiling"]
    assert "must be a whole number, got" in answers["no_number"]
    assert [line.strip() for line in answers["explain"].splitlines()][1:6] == [
        "A setting that only this test knows.",
        "7  built in: overruled",
        "8  default of the policy, policy.yaml:3: overruled",
        "9  override of the service, sidecar.yaml:6: in force",
        "guardrail: {max: 10, ceiling: 20} (built in)",
    ]
    assert "defaults.budget.made_up" in answers["diff"]
    assert "loosens" in answers["diff"]
