import json

import pytest

from loadtest.child import ROOT
from loadtest.harmless.figures import Figures
from loadtest.harmless.page import BEGIN, END, FILE, rewritten
from loadtest.harmless.record import runs_of
from loadtest.harmless.situation import Call, Situation, situations
from loadtest.harmless.stage import Run
from loadtest.harmless.subjects import SUBJECTS
from loadtest.harmless.table import grouped
from loadtest.harmless.verdict import harms

SITUATION = Situation("calm", "nothing happens", (Call("quick", rate=10.0), Call("slow", rate=1.0)), group="rates")
TITLES = {"direct": "direct", "sidecar": "sidecar", "envoy": "Envoy"}
CALM = Figures("quick", 100, 100, 10.0, 0.1, 0.4, 0.5)
SLOW = Figures("slow", 10, 10, 1.0, 1.0, 2.0, 2.0)
RUNS = [
    Run(SITUATION, "direct", 1, (CALM, SLOW), 110, 110, 1, 0.0),
    Run(SITUATION, "sidecar", 1, (CALM, SLOW), 110, 111, 2, 0.0),
    Run(SITUATION, "envoy", 1, (CALM, Figures("slow", 10, 5, 0.5, 1.0, 9.0, 9.0)), 110, 105, 1, 0.0),
]


def test_the_tables_stand_between_the_marks_and_the_rest_stays() -> None:
    page = f"# Title\n\n{BEGIN}\nold\n{END}\n\nthe end\n"

    written = rewritten(page, RUNS, harms(RUNS), TITLES)

    assert written.startswith(f"# Title\n\n{BEGIN}\n")
    assert written.endswith(f"{END}\n\nthe end\n")
    assert "old" not in written
    assert "- **sidecar**: not noticed in 1 of 1 situations" in written
    assert (
        "| **calm**: nothing happens | 100, 400; 1,000, 2,000 | ✓ | 50.0 % success of slow; "
        "p99 of slow 9,000 ms instead of 2,000 |"
    ) in written
    assert "| calm | quick | direct | 100.0 | 10.0 | 100 | 400 | 1.000 |" in written
    assert "|  |  | Envoy | 50.0 | 0.5 | 1,000 | 9,000 |  |" in written
    assert rewritten(written, RUNS, harms(RUNS), TITLES) == written


def test_the_committed_page_is_made_from_the_committed_record() -> None:
    page, record = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in (FILE, "harmless.json"))

    runs = runs_of(json.loads(record), situations())
    titles = {one.name: one.title for one in SUBJECTS.values()}
    titles |= {run.subject: f"sidecar, {run.subject}" for run in runs if run.subject not in titles}
    found = [harm for group in grouped(runs).values() for harm in harms(group)]

    assert {run.situation.name for run in runs} == set(situations())
    assert rewritten(page, runs, found, titles) == page


def test_a_page_without_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match=r"harmless\.md must have the lines"):
        rewritten("# Title\n", RUNS, [], TITLES)
