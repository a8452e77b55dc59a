from datetime import UTC, datetime

from sidecar.governance.explain import Explanation, explain_destination, explain_settings, explain_sidecar
from sidecar.governance.limits import WireLimits
from sidecar.governance.resolve import Source
from sidecar.governance.settings import SETTINGS
from sidecar.governance.snapshot import Snapshot
from tests.governance.documents import EXCEPTION, OVERRIDE, POLICY, SIDECAR, Loading

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

    assert explained.keys() == {
        *(f"limits.{name}" for name in WireLimits.__dataclass_fields__),
        "access_log.sample",
        "drain",
    }
    assert (explained["limits.headers"].value, explained["limits.headers"].place) == ("50", "policy.yaml:3")
    assert (explained["limits.head_bytes"].value, explained["limits.head_bytes"].place) == ("64KiB", "built in")
    assert (explained["drain"].value, explained["drain"].place) == ("5s", "sidecar.yaml:6")


def test_what_no_destination_names_has_the_defaults(loading: Loading) -> None:
    snapshot = loading(policy=LAYERED)

    unlisted = {e.field: e.origin.value for e in explain_settings(snapshot, snapshot.documents.platform.defaults)}

    assert unlisted["budget.ratio"] == "0.05"
