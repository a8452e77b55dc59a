"""The alert rules: they hold what their unit tests say, speak of metrics that exist, and lead to a page that helps."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.telemetry.metrics import METRICS, MetricType
from tests.fakes.tools import tool

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules.yaml"
UNIT_TESTS = (RULES.with_name("rules_test.yaml"), RULES.with_name("rules_daily_test.yaml"))
RUNBOOKS = ROOT / "docs" / "runbooks"
PAGE = (ROOT / "sidecar" / "admin" / "page" / "index.html").read_text(encoding="utf-8")
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
SECTIONS = ["What it means", "What to look at", "What to do", "When it lies"]

GROUPS = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
RECORDINGS = {rule["record"]: rule for group in GROUPS for rule in group["rules"] if "record" in rule}
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
BY_NAME = {metric.name: metric for metric in METRICS}


def series_in(text: str) -> set[str]:
    """Our raw series that PromQL, or prose with PromQL in it, names; recorded ones have a colon in their name."""
    return set(re.findall(r"(?<![:\w])sidecar_[a-z_]+(?![:\w])", text))


def exported(series: str) -> bool:
    histogram = re.sub(r"_(bucket|count|sum)$", "", series)
    return series in BY_NAME or (histogram in BY_NAME and BY_NAME[histogram].kind is MetricType.HISTOGRAM)


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [str(tool("promtool")), *arguments]
    return subprocess.run(argv, cwd=RULES.parent, capture_output=True, text=True, timeout=240, check=False)


def test_the_rules_are_well_formed() -> None:
    ran = promtool("check", "rules", RULES.name)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"SUCCESS: {len(RECORDINGS) + len(ALERTS)} rules found" in ran.stdout


def test_the_rules_do_what_their_unit_tests_say() -> None:
    ran = promtool("test", "rules", *(file.name for file in UNIT_TESTS))

    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_shown_to_fire_and_shown_not_to(alert: str) -> None:
    cases = [case for file in UNIT_TESTS for case in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]]

    looks = [look for case in cases for look in case.get("alert_rule_test", ()) if look["alertname"] == alert]

    assert any(look["exp_alerts"] for look in looks)
    assert any(not look["exp_alerts"] for look in looks)


@pytest.mark.parametrize("name", [*RECORDINGS, *ALERTS])
def test_a_rule_speaks_of_metrics_and_recordings_that_exist(name: str) -> None:
    expression = (RECORDINGS.get(name) or ALERTS[name])["expr"]

    raw = series_in(expression)
    recorded = set(re.findall(r"\w+:sidecar_\w+:\w+", expression))

    assert raw or recorded
    assert [series for series in raw if not exported(series)] == []
    assert recorded <= RECORDINGS.keys()


@pytest.mark.parametrize("name", [*RECORDINGS, *ALERTS])
def test_a_rule_selects_by_labels_and_values_that_exist(name: str) -> None:
    expression = (RECORDINGS.get(name) or ALERTS[name])["expr"]

    for series, matchers in re.findall(r"(sidecar_\w+)\{([^}]*)\}", expression):
        labels = {label.name: label.values for label in BY_NAME[series].labels}
        for label, value in re.findall(r'(\w+)!?=~?"([^"]*)"', matchers):
            for alternative in value.split("|"):
                assert alternative in labels[label], f"{series}{{{label}={value!r}}}"


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_who_is_woken_and_where_to_read_on(alert: str) -> None:
    rule: dict[str, Any] = ALERTS[alert]

    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["for"]
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url", "dashboard_url", "live_page_url"}
    assert rule["annotations"]["runbook_url"] == f"https://runbooks.example.com/retry-sidecar/{alert}.md"


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_leads_to_the_part_of_the_live_page_that_explains_it_and_from_there_to_its_runbook(alert: str) -> None:
    address, _, anchor = ALERTS[alert]["annotations"]["live_page_url"].partition("#")

    at = PAGE.find(f'id="{anchor}"')
    part = PAGE[at : min(PAGE.find(end, at) for end in ("</article>", "</section>", "</body>") if end in PAGE[at:])]
    whole = PAGE[PAGE.rfind("<footer", 0, at) :] if anchor == "process" else part

    assert address == "http://127.0.0.1:16000/"
    assert at > 0
    assert f'href="/runbooks/{alert}"' in whole


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_leads_to_the_dashboard_with_what_it_is_about_chosen(alert: str) -> None:
    annotations = ALERTS[alert]["annotations"]
    address, _, chosen = annotations["dashboard_url"].partition("?")

    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    asked = dict(re.findall(r"var-(\w+)=\{\{ \$labels\.(\w+) \}\}", chosen))

    assert address == f"https://grafana.example.com/d/{DASHBOARD['uid']}"
    assert all(variable == label for variable, label in asked.items())
    assert asked.keys() <= variables
    assert {
        label for label in ("job", "destination", "route") if f"$labels.{label}" in str(annotations)
    } <= asked.keys()


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_runbook_with_its_severity_and_all_its_parts(alert: str) -> None:
    text = (RUNBOOKS / f"{alert}.md").read_text(encoding="utf-8")

    assert text.startswith(f"# {alert}\n\n**{ALERTS[alert]['labels']['severity'].capitalize()}.** ")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    parts = re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]
    assert all(len(part.split()) >= 15 for part in parts)


def test_there_is_a_runbook_for_every_alert_and_for_nothing_else() -> None:
    pages = {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"}
    index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")

    listed = dict(re.findall(r"^\| \[(\w+)\]\(\1\.md\) \| (\w+) \|", index, re.MULTILINE))

    assert pages == set(ALERTS)
    assert listed == {alert: rule["labels"]["severity"] for alert, rule in ALERTS.items()}


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_a_runbook_speaks_of_metrics_recordings_and_pages_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]

    assert [series for series in series_in(text) if not exported(series)] == []
    assert set(re.findall(r"\w+:sidecar_\w+:\w+", text)) <= RECORDINGS.keys()
    assert [link for link in links if not (page.parent / link).exists()] == []
