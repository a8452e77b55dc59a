"""The page and the record of a comparison."""

import json
from html.parser import HTMLParser

from sidecar.engine.policy import DestinationPolicy
from sidecar.simulator.campaign import Cell, Contender
from sidecar.simulator.fleet import Fleet
from sidecar.simulator.outcome import outcome
from sidecar.simulator.report import Chart, page, record, seconds
from sidecar.simulator.scenario import Scenario, Service, Trouble, staffed

SERVICES = {
    "checkout": Service("checkout", pods=2, rate=20.0, calls={"payments": 1.0}),
    "payments": staffed(Service("payments", workers=1), 50.0),
}
SCENARIO = Scenario("<script>", 1, 20.0, 2.0, SERVICES, [Trouble("payments", "hang", 5.0, 8.0, speed=0.0)])
POLICY = DestinationPolicy(timeout=3.0, per_attempt_timeout=1.0)
OUTCOMES = {
    "baseline": outcome(Fleet(SCENARIO, lambda _, __: POLICY).run()),
    "ungoverned": outcome(Fleet(SCENARIO, lambda _, __: POLICY, governed=False).run()),
}
CHARTS = [Chart(Contender("baseline", {}), [Cell(0.8, 1.0, 0.5), Cell(0.8, 5.0, None)], 12.0)]


class Outside(HTMLParser):
    """Collects what a page would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "link", "img", "iframe"}:
            self.found.append(tag)
        self.found += [name for name, _ in attrs if name in {"src", "href"} or name.startswith("on")]


def test_the_page_stands_alone_and_takes_names_for_text() -> None:
    html = page(SCENARIO, OUTCOMES, CHARTS)

    outside = Outside()
    outside.feed(html)
    assert outside.found == []
    assert "&lt;script&gt;" in html


def test_the_page_says_for_each_policy_whether_a_blip_stays_a_blip() -> None:
    html = page(SCENARIO, OUTCOMES, CHARTS)

    assert "baseline: recovers" in html
    assert "ungoverned: the outage outlives its cause." in html
    assert "attempts per second at payments" in html
    assert "∞" in html


def test_a_long_recovery_is_still_a_plain_number() -> None:
    assert [seconds(12.75), seconds(100.25), seconds(None)] == ["12.75 s", "100.25 s", "never"]


def test_the_record_is_plain_and_complete() -> None:
    told = json.loads(json.dumps(record(SCENARIO, OUTCOMES, CHARTS), allow_nan=False))

    assert told["outcomes"]["ungoverned"]["metastable"] is True
    assert told["outcomes"]["baseline"]["depths"][0]["service"] == "payments"
    assert told["scenario"]["services"]["payments"]["queue"] is None
    assert told["map"]["baseline"]["cells"][1] == {"utilisation": 0.8, "blip": 5.0, "recovery": None}
