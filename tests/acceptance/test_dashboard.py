"""The shipped Grafana dashboard: made from its table, complete, and bound to no address."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_alert_rules import BY_NAME, exported, series_in

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
TEXT = (FOLDER / "dashboard.json").read_text(encoding="utf-8")
DASHBOARD = json.loads(TEXT)
ROWS = [panel for panel in DASHBOARD["panels"] if panel["type"] == "row"]
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
OF_THE_PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"}


def test_the_shipped_file_is_the_one_that_the_table_makes() -> None:
    made = subprocess.run(
        [sys.executable, str(FOLDER / "build.py")], capture_output=True, encoding="utf-8", timeout=20, check=True
    )

    assert made.stdout == TEXT, "run: make docs"


def test_there_is_a_row_for_the_fleet_one_for_a_destination_one_for_keys_and_one_for_a_pod() -> None:
    assert [row["title"].partition(":")[0] for row in ROWS] == ["Fleet", "Destination", "Idempotency keys", "Pod"]
    assert len(PANELS) <= 40


def test_every_metric_of_the_idempotency_gate_is_in_a_panel() -> None:
    shown = set.union(*(series_in(target["expr"]) for panel in PANELS for target in panel["targets"]))

    gate = {name for name in BY_NAME if name.startswith("sidecar_idempotency_")}
    assert len(gate) >= 5
    assert gate <= {re.sub(r"_bucket$", "", name) for name in shown}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_in_which_unit_and_asks_the_chosen_source(panel: dict[str, Any]) -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}

    assert panel["title"]
    assert panel["description"].endswith((".", ")."))
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    assert all(target["legendFormat"] for target in panel["targets"])
    assert [panel["datasource"], *(target["datasource"] for target in panel["targets"])] == [chosen] * (
        1 + len(panel["targets"])
    )


def test_no_panel_has_the_name_or_the_place_of_another() -> None:
    places = [
        {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        for at in (panel["gridPos"] for panel in DASHBOARD["panels"])
    ]

    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    assert all(one.isdisjoint(other) for one, other in itertools.combinations(places, 2))
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_asks_for_series_and_label_values_that_exist(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        expression = target["expr"]
        names = series_in(expression) | set(re.findall(r"\bprocess_\w+", expression))
        assert names
        assert [name for name in names if not exported(name) and name not in OF_THE_PROCESS] == []
        for series, matchers in re.findall(r"(sidecar_\w+)\{([^}]*)\}", expression):
            metric = BY_NAME[re.sub(r"_bucket$", "", series)]
            labels = {label.name: label.values for label in metric.labels}
            for label, value in re.findall(r'(\w+)!?=~?"([^"]*)"', matchers):
                if value.startswith("$"):
                    assert label in {"namespace", "job", "instance", *metric.label_names}
                else:
                    assert value in labels[label]
