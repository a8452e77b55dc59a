from collections.abc import Mapping

import pytest
from hypothesis import given, strategies
from hypothesis.strategies import SearchStrategy

from sidecar.engine.policy import (
    BACKOFF_BASE_FLOOR,
    BUDGET_RATIO_CEILING,
    IDEMPOTENT_METHODS,
    MAX_ATTEMPTS_CEILING,
    DestinationPolicy,
)
from sidecar.governance.documents.bound import Bound
from sidecar.governance.documents.decoder import Decoder
from sidecar.governance.documents.document import PolicyDocument
from sidecar.governance.documents.finding import Finding
from sidecar.governance.documents.settings import SETTINGS
from sidecar.governance.documents.yaml import parse
from sidecar.governance.policy.guardrails import BASELINE_GUARDRAILS
from sidecar.governance.policy.resolve import BASELINE, Layer, Origin, Resolution, Source


def layer(text: str, source: Source = Source.OVERRIDE) -> Layer:
    """Settings as the `defaults` of a document called d.yaml: what `text` says begins at line 4."""
    indented = "".join(f"  {line}\n" for line in text.splitlines())
    tree = parse(f"version: 1\nowner: o\ndefaults:\n{indented}".encode(), "d.yaml")
    findings: list[Finding] = []
    document = Decoder(tree, findings).document(PolicyDocument, {})
    assert findings == []
    assert document is not None
    return Layer(source, document.defaults, tree, ("defaults",))


def resolved(below: Resolution, above: Layer, bounds: Mapping[str, Bound] = {}) -> tuple[Resolution, list[str]]:
    findings: list[Finding] = []
    resolution = below.under(above, bounds, findings)
    return resolution, [str(finding) for finding in findings]


def test_the_baseline_is_what_the_engine_does_by_itself() -> None:
    assert BASELINE.policy == DestinationPolicy()
    assert BASELINE.provenance.keys() == SETTINGS.keys()
    assert BASELINE.provenance["retry.backoff.base"] == Origin("25ms", Source.BASELINE, None, None)


def test_a_layer_changes_what_it_says_and_nothing_else() -> None:
    resolution, findings = resolved(BASELINE, layer("timeout: 3s\nbudget: {ratio: 0.15}"))

    assert findings == []
    assert resolution.policy.timeout == 3.0
    assert resolution.policy.budget.ratio == 0.15
    assert resolution.policy.budget.window == DestinationPolicy().budget.window
    assert resolution.policy.retry == DestinationPolicy().retry


def test_every_number_remembers_its_document_and_line() -> None:
    defaults, _ = resolved(BASELINE, layer("timeout: 3s\nidle_timeout: 9s", Source.DEFAULT))

    resolution, _ = resolved(defaults, layer("\nidle_timeout: 0.5m"))

    assert resolution.provenance["timeout"] == Origin("3s", Source.DEFAULT, "d.yaml", 4)
    assert resolution.provenance["idle_timeout"] == Origin("0.5m", Source.OVERRIDE, "d.yaml", 5)
    assert resolution.provenance["budget.ratio"].place == "built in"
    assert resolution.provenance["idle_timeout"].place == "d.yaml:5"


def test_seconds_reach_the_engine_as_plain_floats() -> None:
    resolution, _ = resolved(BASELINE, layer("timeout: 3s\nretry: {replay_buffer: 1KiB}"))

    assert type(resolution.policy.timeout) is float
    assert type(resolution.policy.retry.replay_buffer_bytes) is int


@pytest.mark.parametrize(("text", "methods"), [("idempotent", IDEMPOTENT_METHODS), ("[GET, PUT]", {"GET", "PUT"})])
def test_methods_are_all_idempotent_ones_or_some(text: str, methods: frozenset[str]) -> None:
    resolution, _ = resolved(BASELINE, layer(f"retry: {{methods: {text}}}"))

    assert resolution.policy.retry.methods == methods


def test_an_engine_ceiling_is_found_at_the_line_that_broke_it() -> None:
    resolution, findings = resolved(BASELINE, layer("timeout: 3s\nbudget:\n  ratio: 5"))

    assert findings == ["d.yaml:6: defaults.budget.ratio: must be between 0 and 1.0, got 5"]
    assert resolution.policy.timeout == 3.0
    assert resolution.policy.budget.ratio == BASELINE.policy.budget.ratio


def test_the_one_item_of_a_list_that_is_wrong_is_pointed_at() -> None:
    _, findings = resolved(BASELINE, layer("retry:\n  statuses:\n    - 503\n    - 200"))

    assert findings == ["d.yaml:7: defaults.retry.statuses[1]: must be 408, 425, 429 or 5xx, got 200"]


def test_every_broken_rule_is_found_not_only_the_first() -> None:
    text = "timeout: 2h\nretry: {max_attempts: 11}\nbreaker: {window: 10m, probes: 0}\nbudget: {burst: 11}"

    _, findings = resolved(BASELINE, layer(text))

    assert sorted(findings) == [
        'd.yaml:4: defaults.timeout: must be over 0s and at most 1h, got "2h"',
        "d.yaml:5: defaults.retry.max_attempts: must be between 1 and 10, got 11",
        "d.yaml:6: defaults.breaker.probes: must be between 1 and 100, got 0",
        'd.yaml:6: defaults.breaker.window: must be between 1s and 5m, got "10m"',
        "d.yaml:7: defaults.budget.burst: must be between 1 and 10, got 11",
    ]


def test_a_rule_between_two_documents_blames_the_upper_one_and_shows_the_lower() -> None:
    defaults, _ = resolved(BASELINE, layer("retry: {backoff: {max: 500ms}}", Source.DEFAULT))

    _, findings = resolved(defaults, layer("\nretry: {backoff: {base: 2s}}"))

    rule = "retry.backoff.max (500ms, d.yaml:4) must be at least retry.backoff.base"
    assert findings == [f'd.yaml:5: defaults.retry.backoff.base: {rule}, got "2s"']


def test_a_guardrail_is_the_reason_given_before_the_engine_is_asked() -> None:
    _, findings = resolved(BASELINE, layer("budget: {ratio: 5}"), BASELINE_GUARDRAILS)

    assert findings == ["d.yaml:4: defaults.budget.ratio: must be at most 0.2 (guardrail, built in), got 5"]


def test_a_fixed_setting_binds_overrides_and_not_the_defaults_that_fix_it() -> None:
    fixed = {"timeout": Bound("p.yaml:9", fixed=True)}

    defaults, of_defaults = resolved(BASELINE, layer("timeout: 3s", Source.DEFAULT), fixed)
    _, of_overrides = resolved(defaults, layer("timeout: 4s"), fixed)

    assert of_defaults == []
    assert of_overrides == ['d.yaml:4: defaults.timeout: must stay 3s (guardrail, p.yaml:9), got "4s"']


def durations(*, most: int) -> SearchStrategy[str]:
    return strategies.integers(0, most).map(lambda ms: f"{ms}ms")


VALUES: dict[str, SearchStrategy[object]] = {
    "timeout": durations(most=4_000_000),
    "per_attempt_timeout": durations(most=4_000_000),
    "idle_timeout": durations(most=90_000_000),
    "retry.max_attempts": strategies.integers(-1, 20),
    "retry.statuses": strategies.lists(strategies.integers(390, 610), max_size=4, unique=True),
    "retry.faults": strategies.lists(strategies.sampled_from(["connect_failure", "reset", "timeout"]), unique=True),
    "retry.methods": strategies.one_of(
        strategies.just("idempotent"),
        strategies.lists(strategies.sampled_from([*sorted(IDEMPOTENT_METHODS), "POST"]), unique=True),
    ),
    "retry.backoff.base": durations(most=3000),
    "retry.backoff.max": durations(most=3000),
    "retry.backoff.jitter": strategies.just("full"),
    "retry.retry_after.honour": strategies.sampled_from(["true", "false"]),
    "retry.retry_after.max": durations(most=100_000),
    "retry.min_remaining": durations(most=1000),
    "retry.window": durations(most=4_000_000),
    "retry.replay_buffer": strategies.integers(0, 1024).map(lambda count: f"{count}KiB"),
    "budget.ratio": strategies.integers(-10, 200).map(lambda percent: percent / 100),
    "budget.window": durations(most=400_000),
    "budget.burst": strategies.integers(0, 12),
    "budget.min_retries": strategies.integers(-1, 120),
    "breaker.failure_ratio": strategies.integers(-10, 120).map(lambda percent: percent / 100),
    "breaker.window": durations(most=400_000),
    "breaker.min_requests": strategies.integers(0, 100),
    "breaker.consecutive_failures": strategies.integers(0, 100),
    "breaker.open": durations(most=400_000),
    "breaker.max_open": durations(most=400_000),
    "breaker.probes": strategies.integers(0, 10),
    "breaker.ramp": durations(most=400_000),
    "breaker.hold": durations(most=80_000),
    "breaker.statuses": strategies.lists(strategies.integers(490, 610), max_size=4, unique=True),
    "concurrency.limit": strategies.sampled_from(["adaptive", "fixed"]),
    "concurrency.initial": strategies.integers(0, 2000),
    "concurrency.min_in_flight": strategies.integers(0, 2000),
    "concurrency.max_in_flight": strategies.integers(0, 2000),
    "concurrency.max_waiting": strategies.integers(-1, 2000),
    "tls.verify": strategies.sampled_from(["true", "false"]),
    "mode": strategies.sampled_from(["enforce", "observe"]),
    "idempotency_key.honours": strategies.sampled_from(["true", "false"]),
    "idempotency_key.retention": strategies.sampled_from(["0s", "1h", "24h", "48h", "9000h"]),
    "idempotency.class": strategies.sampled_from(["at_most_once", "reexecute_ok", "best_effort"]),
    "idempotency.required": strategies.sampled_from(["true", "false"]),
    "idempotency.retention": strategies.sampled_from(["0s", "1m", "1h", "24h", "9000h"]),
    "idempotency.after_retention": strategies.sampled_from(["new", "reject"]),
    "idempotency.wait": strategies.sampled_from(["0s", "5s", "2m"]),
    "idempotency.redact": strategies.sampled_from(["[]", "[/card/number]", "[location, journal.why]"]),
}


def nested(settings: Mapping[str, object]) -> str:
    """Settings by dotted path as one YAML flow mapping."""
    tree: dict[str, object] = {}
    for path, value in settings.items():
        *sections, name = path.split(".")
        here = tree
        for section in sections:
            here = here.setdefault(section, {})  # type: ignore[assignment]
        here[name] = value
    return flow(tree)


def flow(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    return str(value)


def partial_layer(source: Source) -> SearchStrategy[Layer]:
    settings = strategies.fixed_dictionaries({}, optional=VALUES)
    return settings.map(lambda chosen: inline_layer(nested(chosen), source))


def inline_layer(text: str, source: Source) -> Layer:
    tree = parse(f"version: 1\nowner: o\ndefaults: {text}\n".encode(), "d.yaml")
    document = Decoder(tree, []).document(PolicyDocument, {})
    assert document is not None
    return Layer(source, document.defaults, tree, ("defaults",))


def test_the_values_tried_below_are_those_of_every_setting() -> None:
    assert VALUES.keys() == SETTINGS.keys()


@given(strategies.tuples(*(partial_layer(source) for source in (Source.DEFAULT, Source.PLATFORM, Source.OVERRIDE))))
def test_whatever_is_laid_over_whatever_the_engine_ceilings_and_guardrails_hold(layers: tuple[Layer, ...]) -> None:
    resolution = BASELINE
    findings: list[Finding] = []

    for above in layers:
        resolution = resolution.under(above, BASELINE_GUARDRAILS, findings)

    policy = resolution.policy
    assert policy.budget.ratio <= 0.2 <= BUDGET_RATIO_CEILING
    assert policy.retry.max_attempts <= 4 <= MAX_ATTEMPTS_CEILING
    assert BACKOFF_BASE_FLOOR <= policy.retry.backoff.base <= policy.retry.backoff.max
    assert policy.retry.methods <= IDEMPOTENT_METHODS
    assert resolution.values["tls.verify"] is True
    assert resolution.provenance.keys() == SETTINGS.keys()


@given(partial_layer(Source.OVERRIDE))
def test_a_layer_without_findings_is_in_force_to_the_letter(above: Layer) -> None:
    findings: list[Finding] = []

    resolution = BASELINE.under(above, {}, findings)

    said = [setting for setting, origin in resolution.provenance.items() if origin.source is Source.OVERRIDE]
    broken = {finding.field.removeprefix("defaults.").partition("[")[0] for finding in findings}
    assert broken.isdisjoint(said)
    for setting in said:
        assert resolution.provenance[setting] == above.origin(setting)


@pytest.mark.parametrize(
    ("written", "fields"),
    [
        ("{retry: {backoff: {base: 2s, max: 500ms}}}", ["max"]),
        ("{retry: {backoff: {base: 2s}}}", ["base"]),
        ("{retry: {backoff: {max: 2ms}}}", ["max"]),
        ("{breaker: {open: 2s, max_open: 1s}}", ["max_open"]),
        ("{concurrency: {min_in_flight: 30, max_in_flight: 20}}", ["max_in_flight"]),
        ("{retry: {backoff: {base: 2s, max: 500ms}}, timeout: 2h}", ["max", "timeout"]),
    ],
)
def test_one_mistake_is_one_finding(written: str, fields: list[str]) -> None:
    findings: list[Finding] = []

    BASELINE.under(inline_layer(written, Source.DEFAULT), {}, findings)

    assert [finding.field.rpartition(".")[2] for finding in findings] == fields
