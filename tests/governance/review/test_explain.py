import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import Struct, inspect

from sidecar.engine.policy import DestinationPolicy
from sidecar.governance.documents.document import PolicyDocument, SidecarDocument
from sidecar.governance.documents.egress_keys import IdempotencyKeySettings
from sidecar.governance.documents.settings import SETTINGS
from sidecar.governance.documents.units import Duration, Size
from sidecar.governance.policy.bootstrap import from_file
from sidecar.governance.policy.delivery import Delivery
from sidecar.governance.policy.engine_policy import settings_of
from sidecar.governance.policy.resolve import Source
from sidecar.governance.policy.snapshot import Snapshot, compiled
from sidecar.governance.review.explain import Explanation, explain_destination, explain_settings, explain_sidecar
from tests.fakes.documents import EXCEPTION, NOW, OVERRIDE, POLICY, SIDECAR, Loading

AFTER = datetime(2026, 12, 5, tzinfo=UTC)
LAYERED = POLICY + "defaults: {budget: {ratio: 0.05}}\ndestinations:\n  payments: {budget: {ratio: 0.08}}\n" + EXCEPTION


def of(snapshot: Snapshot, field: str) -> Explanation:
    each = explain_destination(snapshot, snapshot.destinations["payments"])
    return next(explanation for explanation in each if explanation.field == field)


def steps(explanation: Explanation) -> list[tuple[str, str, str, str]]:
    return [(s.origin.value, s.origin.source.value, s.origin.place, s.outcome) for s in explanation.steps]


def test_every_number_of_a_destination_is_explained(loading: Loading) -> None:
    snapshot = loading()
    destination = snapshot.destinations["payments"]

    explained = {explanation.field: explanation for explanation in explain_destination(snapshot, destination)}

    assert explained.keys() == destination.provenance.keys() >= SETTINGS.keys()
    for field, explanation in explained.items():
        assert explanation.origin == destination.provenance[field]
        assert explanation.steps[-1].outcome == "in force"
        assert explanation.meaning


def test_every_word_about_a_number_is_told_from_the_lowest_up(loading: Loading) -> None:
    explanation = of(loading(sidecar=SIDECAR + OVERRIDE, policy=LAYERED), "budget.ratio")

    assert steps(explanation) == [
        ("0.1", "baseline", "built in", "overruled"),
        ("0.05", "default", "policy.yaml:3", "overruled"),
        ("0.08", "platform", "policy.yaml:5", "overruled"),
        ("0.35", "exception", "sidecar.yaml:7", "in force"),
    ]
    assert explanation.guardrail == "{max: 0.2, ceiling: 0.5} (built in)"
    assert explanation.exception == "exception EX-1 (policy.yaml:7), live, from 2026-11-24 until 2026-12-05, 00:00 UTC"


def test_a_number_that_lost_its_exception_says_what_was_asked_for(loading: Loading) -> None:
    explanation = of(loading(sidecar=SIDECAR + OVERRIDE, policy=LAYERED).at(AFTER), "budget.ratio")

    assert (explanation.origin.value, explanation.origin.source) == ("0.08", Source.PLATFORM)
    assert steps(explanation)[-2:] == [
        ("0.08", "platform", "policy.yaml:5", "in force"),
        ("0.35", "override", "sidecar.yaml:7", "left out: its exception expired at 2026-12-05T00:00Z"),
    ]


def test_the_numbers_of_no_destination_are_explained_too(loading: Loading) -> None:
    snapshot = loading(sidecar=SIDECAR + "drain: 5s\n", policy=POLICY + "limits: {headers: 50}\n")

    explained = {e.field: e.origin for e in explain_sidecar(snapshot)}

    assert (explained["limits.headers"].value, explained["limits.headers"].place) == ("50", "policy.yaml:3")
    assert (explained["limits.head_bytes"].value, explained["limits.head_bytes"].place) == ("64KiB", "built in")
    assert (explained["drain"].value, explained["drain"].place) == ("5s", "sidecar.yaml:6")


def test_what_no_destination_names_has_the_defaults(loading: Loading) -> None:
    snapshot = loading(policy=LAYERED)

    unlisted = {e.field: e.origin.value for e in explain_settings(snapshot, snapshot.documents.platform.defaults)}

    assert unlisted["budget.ratio"] == "0.05"


EVERYTHING = {
    "policy": """\
version: 7
owner: platform
expires: 2027-01-31
dry_run: true
rollout: {percent: 5, abort_when: {amplification: 1.2}}
""",
    "sidecar": """\
service: checkout
policy: {url: "https://policies/fleet.yaml", keys: {ann: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}}
telemetry: {traces: {endpoint: "http://collector:4318/v1/traces"}}
ingress: {listen: "0.0.0.0:16006", app: "http://127.0.0.1:8080", idempotency: {store: {sqlite: keys.db}}}
destinations: {payments: {endpoints: ["http://payments:80"]}}
""",
}
SETTINGS_ROOTS = ("defaults", "guardrails", "exceptions", "destinations", "overrides")


def numbers_of(info: inspect.Type, path: str = "") -> Iterator[str]:
    """The paths of all that is a number, a duration, a size, a day or yes or no, but for what settings are made of."""
    match info:
        case inspect.StructType(fields=fields):
            for each in fields:
                if each.encode_name not in SETTINGS_ROOTS:
                    yield from numbers_of(each.type, f"{path}.{each.encode_name}" if path else each.encode_name)
        case inspect.UnionType(types=types):
            yield from itertools.chain.from_iterable(numbers_of(each, path) for each in types)
        case inspect.IntType() | inspect.FloatType() | inspect.BoolType() | inspect.DateType():
            yield path
        case inspect.CustomType(cls=cls) if issubclass(cls, (Duration, Size)):
            yield path


def everything_explained() -> dict[str, list[Explanation]]:
    bootstrap = from_file(Path("sidecar.yaml"), EVERYTHING["sidecar"].encode(), [])
    snapshot = compiled(bootstrap, Delivery("policy.yaml", EVERYTHING["policy"].encode()), [], NOW)
    assert snapshot.ingress is not None
    return {
        "payments": list(explain_destination(snapshot, snapshot.destinations["payments"])),
        "ingress": list(explain_settings(snapshot, snapshot.ingress.resolution)),
        "unlisted": list(explain_settings(snapshot, snapshot.documents.platform.defaults)),
        "sidecar": list(explain_sidecar(snapshot)),
    }


@pytest.mark.parametrize("document", [PolicyDocument, SidecarDocument])
def test_there_is_no_number_in_either_document_that_is_not_explained(document: type) -> None:
    explained = {explanation.field for explanation in everything_explained()["sidecar"]}

    assert set(numbers_of(inspect.type_info(document))) <= explained


def test_there_is_no_setting_of_an_engine_that_is_not_explained() -> None:
    explained = everything_explained()
    for name in ("payments", "ingress", "unlisted"):
        fields = {explanation.field for explanation in explained[name]}
        assert fields >= settings_of(DestinationPolicy()).keys() == SETTINGS.keys()
    assert set(numbers_of(inspect.type_info(IdempotencyKeySettings), "idempotency_key")) <= {
        explanation.field for explanation in explained["payments"]
    }


def test_every_number_says_whose_word_it_is_where_and_what_it_means() -> None:
    for explanations in everything_explained().values():
        for explanation in explanations:
            in_force = [step for step in explanation.steps if step.outcome == "in force"]
            assert [step.origin for step in in_force] == [explanation.origin]
            assert explanation.origin.value != ""
            assert (explanation.origin.file is None) == (explanation.origin.place == "built in")
            assert explanation.meaning.endswith(".")


def test_every_value_of_an_engine_is_a_setting_that_documents_know() -> None:
    """So that nothing an engine runs on escapes: each leaf of its policy, changed, is another setting."""
    leaves = list(leaves_of(DestinationPolicy()))
    contract = {setting for setting in SETTINGS if setting.startswith("idempotency.")}  # what the ingress gate runs on

    assert len(leaves) == len(SETTINGS) - len({"retry.backoff.jitter", "tls.verify"} | contract)


def leaves_of(value: object) -> Iterator[object]:
    assert isinstance(value, Struct)
    for name in value.__struct_fields__:
        if name == "wire_methods":  # follows from `methods`
            continue
        inner = getattr(value, name)
        if isinstance(inner, Struct):
            yield from leaves_of(inner)
        else:
            yield inner
