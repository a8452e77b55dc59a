from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings, strategies
from jsonschema import Draft202012Validator

from sidecar.engine.policy import InvalidPolicy
from sidecar.governance.documents.settings import SETTINGS
from sidecar.governance.documents.units import BodyLimit, Duration, Size
from sidecar.governance.documents.yaml import parse
from sidecar.governance.policy.engine_policy import policy_of
from sidecar.governance.policy.resolve import BASELINE
from sidecar.governance.review.schema import (
    SCHEMAS,
    WRITTEN,
    schema_of,
    written_schema,
)
from sidecar.net import Address, Endpoint, Host
from tests.fakes.documents import EXCEPTION, POLICY, SIDECAR

NUMBER_BOUNDS = {
    setting: (spec.bounds["minimum"], spec.bounds["maximum"])
    for setting, spec in SETTINGS.items()
    if "minimum" in spec.bounds
}
ITEMS = [setting for setting, spec in SETTINGS.items() if "items" in spec.bounds]
MUST_NAME = [setting for setting, spec in SETTINGS.items() if "contains" in spec.bounds]

CONFIG = Path(__file__).resolve().parents[3] / "config"


def faults(document: str, text: str) -> list[str]:
    """Where in the document the schema is broken."""
    validator = Draft202012Validator(schema_of(document))
    value = parse(text.encode(), "d.yaml").value
    return [".".join(map(str, error.absolute_path)) for error in validator.iter_errors(value)]


@pytest.mark.parametrize("document", SCHEMAS)
def test_a_schema_is_one(document: str) -> None:
    Draft202012Validator.check_schema(schema_of(document))


@pytest.mark.parametrize("document", SCHEMAS)
def test_the_shipped_schema_is_the_one_that_the_types_say(document: str) -> None:
    shipped = (CONFIG / f"{document}.schema.json").read_text(encoding="utf-8")

    assert shipped == written_schema(document), f"sidecar policy schema {document} > config/{document}.schema.json"


@pytest.mark.parametrize(
    "file", sorted([*CONFIG.glob("policy*.yaml"), *CONFIG.glob("sidecar*.yaml")]), ids=lambda file: file.name
)
def test_every_shipped_document_names_its_schema_and_keeps_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    document = file.name.partition(".")[0].partition("-")[0]

    assert text.startswith(f"# yaml-language-server: $schema={document}.schema.json\n")
    assert faults(document, text) == []


@pytest.mark.parametrize("document", SCHEMAS)
def test_every_field_says_what_it_means(document: str) -> None:
    silent: list[str] = []

    def walk(schema: dict[str, Any], path: str) -> None:
        for name, field in schema.get("properties", {}).items():
            here = f"{path}.{name}"
            if "description" not in field and ".guardrails." not in here:
                silent.append(here)
            walk(field, here)
        for inner in ("items", "additionalProperties"):
            if isinstance(schema.get(inner), dict):
                walk(schema[inner], path)

    walk(schema_of(document), "")
    walk(schema_of(document)["$defs"].get("settings", {}), "settings")

    assert silent == []


SOUND = {
    "the smallest policy": ("policy", POLICY),
    "the smallest sidecar file": ("sidecar", SIDECAR),
    "an exception": ("policy", POLICY + EXCEPTION),
    "a hard guardrail with its ceiling": (
        "policy",
        POLICY + "guardrails:\n  budget.ratio: {max: 0.2, ceiling: 0.5, level: hard}\n  timeout: {min: 1s, max: 30s}\n",
    ),
    "guardrails on words and lists": (
        "policy",
        POLICY + "guardrails:\n  retry.methods: {only: [idempotent]}\n  retry.statuses: {only: [503]}\n"
        "  retry.retry_after.honour: {fixed: true}\n",
    ),
    "methods by name": ("policy", POLICY + "defaults: {retry: {methods: [GET, PUT]}}\n"),
}


@pytest.mark.parametrize(("document", "text"), SOUND.values(), ids=SOUND)
def test_a_sound_document_keeps_its_schema(document: str, text: str) -> None:
    assert faults(document, text) == []


WRONG = {
    "no version": ("policy", "owner: platform\n", ""),
    "an unknown key": ("policy", POLICY + "default: {}\n", ""),
    "a number without its unit": ("policy", POLICY + "defaults: {timeout: 10}\n", "defaults.timeout"),
    "a share over one": ("policy", POLICY + "defaults: {budget: {ratio: 5}}\n", "defaults.budget.ratio"),
    "eleven attempts": ("policy", POLICY + "defaults: {retry: {max_attempts: 11}}\n", "defaults.retry.max_attempts"),
    "a status that is no failure": (
        "policy",
        POLICY + "defaults: {retry: {statuses: [200]}}\n",
        "defaults.retry.statuses.0",
    ),
    "a guardrail on nothing": ("policy", POLICY + "guardrails: {budget.ratoi: {max: 1}}\n", "guardrails"),
    "a guardrail in another form": (
        "policy",
        POLICY + "guardrails: {timeout: {max: 30}}\n",
        "guardrails.timeout.max",
    ),
    "an exception for everybody": (
        "policy",
        POLICY + EXCEPTION.replace("service: checkout", 'service: "*"'),
        "exceptions.0.service",
    ),
    "a reason that is none": (
        "policy",
        POLICY + EXCEPTION.replace("Month-end batch with headroom", "because"),
        "exceptions.0.reason",
    ),
    "an exception without its end": (
        "policy",
        POLICY + EXCEPTION.replace("    expires: 2026-12-05\n", ""),
        "exceptions.0",
    ),
    "no endpoint": ("sidecar", SIDECAR.replace('"http://payments:8080"', ""), "destinations.payments.endpoints"),
    "a destination in capitals": ("sidecar", SIDECAR.replace("  payments:", "  Payments:"), "destinations"),
    "an endpoint with a path": (
        "sidecar",
        SIDECAR.replace("8080", "8080/api"),
        "destinations.payments.endpoints.0",
    ),
}


@pytest.mark.parametrize(("document", "text", "where"), WRONG.values(), ids=WRONG)
def test_a_wrong_document_breaks_its_schema_where_it_is_wrong(document: str, text: str, where: str) -> None:
    assert faults(document, text) == [where]


@pytest.mark.parametrize("setting", NUMBER_BOUNDS)
def test_the_bounds_of_a_number_are_the_engines(setting: str) -> None:
    low, high = NUMBER_BOUNDS[setting]
    step = 1 if isinstance(BASELINE.values[setting], int) else 0.001
    least = low if setting != "breaker.failure_ratio" else step  # over 0, which a schema's minimum can not say

    assert refused(setting, least - step if least == low else 0) == setting
    assert refused(setting, least) in (None, "concurrency.max_in_flight")
    assert refused(setting, high) in (None, "concurrency.max_in_flight")
    assert refused(setting, high + step) == setting


@pytest.mark.parametrize("setting", ITEMS)
@pytest.mark.parametrize("status", [*range(399, 432), 451, 498, 499, 500, 503, 599, 600, 700, 0])
def test_the_bounds_of_an_item_are_the_engines(setting: str, status: int) -> None:
    section, _, name = setting.partition(".")

    broken = faults("policy", POLICY + f"defaults: {{{section}: {{{name}: {sorted({503, status})}}}}}\n")

    assert bool(broken) is (refused(setting, frozenset({503, status})) is not None)


@pytest.mark.parametrize("setting", MUST_NAME)
@pytest.mark.parametrize("statuses", [{500}, {503}, {500, 503}, {500, 502, 504}, {599}, set()], ids=str)
def test_a_list_without_the_item_it_must_name_breaks_the_schema_where_the_check_refuses_it(
    setting: str, statuses: set[int]
) -> None:
    section, _, name = setting.partition(".")

    broken = faults("policy", POLICY + f"defaults: {{{section}: {{{name}: {sorted(statuses)}}}}}\n")

    assert broken == ([] if refused(setting, frozenset(statuses)) is None else [f"defaults.{setting}"])


def refused(setting: str, value: object) -> str | None:
    """The setting that the engine, or a ceiling, finds fault with when everything else is as built in."""
    if SETTINGS[setting].ceiling_rule(value) is not None:
        return setting
    try:
        policy_of({**BASELINE.values, setting: value})
    except InvalidPolicy as error:
        return error.field
    return None


def test_every_number_has_its_bounds() -> None:
    numbers = {name for name, value in BASELINE.values.items() if type(value) in (int, float)}

    assert numbers == set(NUMBER_BOUNDS)


WORDS = strategies.one_of(
    strategies.from_regex(r"\A[0-9]{0,3}\.?[0-9]{0,2} ?(ms|s|m|h|B|KiB|MiB|d)?\Z"),
    strategies.from_regex(r"\A(https?|ftp)?(://)?[a-z.\-]{0,6}(\[::1\]|127\.0\.0\.1)?(:[0-9]{0,6})?/?\Z"),
    strategies.sampled_from(["off", "", "[::1]", "[::1]:80", "0.0.0.0:1", "payments", "a b"]),
)


@pytest.mark.parametrize("form", [Duration, Size, BodyLimit, Address, Endpoint, Host])
@settings(max_examples=60)
@given(written=WORDS)
def test_what_a_form_reads_its_schema_takes(form: Any, written: str) -> None:
    takes = Draft202012Validator(WRITTEN[form]).is_valid(written)

    try:
        form.parse(written)
    except ValueError:
        assert not takes or form not in (Duration, Size, BodyLimit)
    else:
        assert takes


def test_every_form_is_known() -> None:
    undescribed = [form for form in schema_of("sidecar")["$defs"] | schema_of("policy")["$defs"] if form != "settings"]

    assert sorted(undescribed) == sorted(form.__name__.lower() for form in WRITTEN)


def test_a_date_that_is_not_quoted_is_one_for_those_who_read_yaml_into_dates() -> None:
    """As docs/policy.md writes them, they were refused as no text by jsonschema behind PyYAML."""
    document = yaml.safe_load(POLICY + EXCEPTION)

    assert isinstance(document["exceptions"][0]["expires"], date)
    assert list(Draft202012Validator(schema_of("policy")).iter_errors(document)) == []


@pytest.mark.parametrize("written", [20261205, 1.5, True, None, [], {}, "tomorrow", "2026-12-5"])
def test_what_is_no_date_is_none(written: object) -> None:
    document = yaml.safe_load(POLICY + EXCEPTION)
    document["exceptions"][0]["expires"] = written

    assert list(Draft202012Validator(schema_of("policy")).iter_errors(document)) != []
