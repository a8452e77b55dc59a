"""A real Prometheus scrapes a real sidecar through a storm: the shipped alert, dashboard and names.

The rules are the shipped ones; only their durations are divided, so that two minutes are four seconds.
"""

import asyncio
import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sidecar.telemetry.metrics import METRICS
from tests.cli.test_run import free_port
from tests.fakes.origin import Origin, replying, response
from tests.fakes.running import running
from tests.fakes.tools import tool

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules.yaml"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
FASTER = 30
"""How much shorter every duration of the rules is here."""
RATE = 60  # requests a second
EASY = 2.0  # seconds
FIRES_WITHIN = 15.0
RESOLVES_WITHIN = 15.0

GENEROUS = {
    "defaults": {
        "budget": {"ratio": 1.0, "burst": 10, "min_retries": 100},
        "retry": {"max_attempts": 4, "statuses": [502], "backoff": {"base": "5ms", "max": "20ms"}},
    },
    "guardrails": {"budget.ratio": {"max": 1.0}, "budget.min_retries": {"max": 100}},
}
"""Of a storm that nothing holds back: what is answered 502 is tried again, and no breaker counts it."""


@dataclass
class Story:
    """What was seen. `states` are those of SidecarAmplification, each as it followed the one before."""

    states: list[str] = field(default_factory=list)
    fired: set[str] = field(default_factory=set)
    amplification: float = 0.0
    """As recorded, when the alert fired."""
    empty: list[str] = field(default_factory=list)
    """Queries of the dashboard that had no answer in the storm."""
    variables: dict[str, list[str]] = field(default_factory=dict)
    scrape: str = ""
    """The text of one, in the storm."""
    linted: str = ""
    """What promtool has to say about it."""
    series: set[str] = field(default_factory=set)
    attempts: float = 0.0
    seen: int = 0
    """Attempts by Prometheus's account and by the dependency's, at the end."""


@dataclass
class Prometheus:
    """Its HTTP API."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def vector(self, expr: str) -> list[float]:
        """The values of an instant query, less those that are no number."""
        values = [float(result["value"][1]) for result in self.ask("query", query=expr)["result"]]
        return [value for value in values if value == value]  # noqa: PLR0124 - NaN

    def alerts(self) -> dict[str, str]:
        """The state of each alert that is pending or firing."""
        return {alert["labels"]["alertname"]: alert["state"] for alert in self.ask("alerts")["alerts"]}


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    """A Prometheus of its own that scrapes `target` as the job `checkout`."""
    port = free_port()
    (folder / "rules.yaml").write_text(shortened(RULES.read_text(encoding="utf-8")))
    (folder / "prometheus.yaml").write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms"},
                "rule_files": [str(folder / "rules.yaml")],
                "scrape_configs": [{"job_name": "checkout", "static_configs": [{"targets": [target]}]}],
            }
        )
    )
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                str(tool("prometheus")),
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(20)


def shortened(rules: str) -> str:
    """The rules with every duration divided by FASTER, and nothing else changed."""

    def shorter(match: re.Match[str]) -> str:
        seconds = int(match[2]) * {"m": 60, "h": 3600}[match[3]]
        return f"{match[1]}{seconds * 1000 // FASTER}ms"

    return re.sub(r"(\[|for: )(\d+)([mh])\b", shorter, rules)


async def until(condition: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.1)


@asynccontextmanager
async def traffic(url: str) -> AsyncIterator[None]:
    """RATE requests a second, whatever becomes of them."""

    async def drive() -> None:
        loop = asyncio.get_running_loop()
        began, sent = loop.time(), 0
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
            while not over.is_set():
                group.create_task(call(session))
                sent += 1
                await asyncio.sleep(max(0.0, began + sent / RATE - loop.time()))

    async def call(session: aiohttp.ClientSession) -> None:
        async with session.get(url) as answer:
            await answer.read()

    over = asyncio.Event()
    task = asyncio.create_task(drive())
    try:
        yield
    finally:
        over.set()
        await task


async def tell(folder: Path) -> Story:
    story = Story()
    async with Origin(replying(response(200))) as origin:
        with (
            running(
                folder,
                {"payments": {"endpoints": [f"http://127.0.0.1:{origin.port}"]}},
                GENEROUS,
                telemetry={"traces": {"endpoint": f"http://127.0.0.1:{free_port()}/v1/traces"}},
            ) as sidecar,
            prometheus(folder, sidecar.admin.removeprefix("http://")) as server,
        ):

            async def state() -> str:
                alerts = await asyncio.to_thread(server.alerts)
                story.fired |= {name for name, state in alerts.items() if state == "firing"}
                now = alerts.get("SidecarAmplification", "inactive")
                if story.states[-1:] != [now]:
                    story.states.append(now)
                return now

            async def scraped() -> bool:
                try:
                    return bool(await asyncio.to_thread(server.vector, 'up{job="checkout"} == 1'))
                except OSError:
                    return False

            async def firing() -> bool:
                return await state() == "firing"

            async def resolved() -> bool:
                return await state() == "inactive"

            await until(scraped, 10)
            async with traffic(sidecar.url):
                await asyncio.sleep(EASY)
                await state()
                origin.answer = replying(response(502, b"", "Retry-After: 0"))
                await until(firing, FIRES_WITHIN)
                (story.amplification,) = server.vector("job_destination:sidecar_amplification:ratio_rate1m")
                story.scrape = await asyncio.to_thread(sidecar.get, "/metrics")
                story.empty = await asyncio.to_thread(unanswered, server)
                story.variables = await asyncio.to_thread(variables, server)
                origin.answer = replying(response(200))
                await until(resolved, RESOLVES_WITHIN)
            await asyncio.sleep(0.8)  # three scrapes
            story.attempts = sum(server.vector("sidecar_attempts_total"))
            story.seen = len(origin.requests)
            story.series = set(server.ask("label/__name__/values"))
            story.linted = await asyncio.to_thread(linted, story.scrape)
    return story


def linted(metrics: str) -> str:
    """What promtool says about the text of a scrape."""
    argv = [str(tool("promtool")), "check", "metrics"]
    checked = subprocess.run(argv, input=metrics, capture_output=True, text=True, timeout=20, check=False)
    return checked.stdout + checked.stderr


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def unanswered(server: Prometheus) -> list[str]:
    """The dashboard's queries that come to nothing, as Grafana would ask them with everything chosen."""
    queries = [target["expr"].replace("$__rate_interval", "4s") for panel in panels() for target in panel["targets"]]
    asked = [re.sub(r"\$(namespace|job|destination|route|instance)\b", ".*", query) for query in queries]
    assert not any("$" in query for query in asked)
    return [query for query in asked if not server.vector(query)]


def variables(server: Prometheus) -> dict[str, list[str]]:
    """What the dashboard's drop-down lists offer."""
    offered = {}
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
            match = re.sub(r"\$\w+", ".*", selector)
            offered[variable["name"]] = server.ask(f"label/{label}/values", **{"match[]": match})
    return offered


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    tool("prometheus")
    tool("promtool")
    return asyncio.run(tell(tmp_path_factory.mktemp("prometheus")))


def test_the_alert_is_pending_then_fires_then_resolves(story: Story) -> None:
    assert story.states == ["inactive", "pending", "firing", "inactive"]


def test_the_storm_is_seen_as_large_as_it_is(story: Story) -> None:
    assert 1.5 < story.amplification <= 4.0


def test_nothing_else_wakes_anybody(story: Story) -> None:
    assert story.fired <= {"SidecarAmplification", "SidecarBudgetExhausted"}


def test_prometheus_counts_what_the_dependency_counted(story: Story) -> None:
    assert story.attempts == story.seen > 0


def test_promtool_finds_nothing_to_improve_in_a_live_scrape(story: Story) -> None:
    assert story.linted == ""


def test_every_series_of_a_scrape_has_arrived_and_every_metric_of_the_table_is_in_it(story: Story) -> None:
    exported = set(re.findall(r"^(\w+)[{ ]", story.scrape, re.MULTILINE))
    described = set(re.findall(r"^# TYPE (\w+) ", story.scrape, re.MULTILINE))

    assert {metric.name for metric in METRICS} <= described
    assert "sidecar_requests_total" in exported
    assert exported <= story.series


def test_every_query_of_the_dashboard_has_an_answer(story: Story) -> None:
    # It has no route under a contract, and nothing calls past it.
    elsewhere = ("sidecar_idempotency_", "sidecar_bypass_connections")

    assert [query for query in story.empty if not any(name in query for name in elsewhere)] == []


def test_every_list_of_the_dashboard_offers_what_there_is(story: Story) -> None:
    assert story.variables["job"] == ["checkout"]
    assert "payments" in story.variables["destination"]
    assert len(story.variables["instance"]) == 1


def test_only_durations_are_changed() -> None:
    rules = RULES.read_text(encoding="utf-8")

    short = shortened(rules)

    assert re.sub(r"\d+(ms|m|h)\b", "", short) == re.sub(r"\d+(ms|m|h)\b", "", rules)
    assert "[2000ms]" in short
    assert "for: 4000ms" in short
