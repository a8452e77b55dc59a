"""A team asks for `budget.ratio: 5`: refused, each time for its own stated reason, wherever documents are judged."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from sidecar.app import Sidecar
from sidecar.cli import main
from sidecar.governance.documents.finding import Finding, InvalidDocument
from sidecar.governance.loading.loader import PolicyLoader
from sidecar.governance.policy.snapshot import load
from sidecar.telemetry.log import Format, Log, LogLevel
from tests.fakes.documents import EXCEPTION, POLICY, SIDECAR

NOW = datetime(2026, 12, 1, tzinfo=UTC)
GUARDRAIL = "guardrails:\n  budget.ratio: {max: 0.2, ceiling: 0.5}\n"
ASKED = "    overrides:\n      budget: {ratio: 5}\n"
PLACE = "sidecar.yaml:7: destinations.payments.overrides.budget.ratio"
FREE_PORTS = 'admin: {listen: "127.0.0.1:0"}\negress: {listen: ["127.0.0.1:0"]}\n'
NAMES = ("sidecar.yaml", "policy.yaml")
KEYS = ("file", "line", "field", "rule", "value")
RULE = "must be at most 0.2 (guardrail, policy.yaml:4)"
HALF = EXCEPTION.replace("value: 0.35", "value: 0.5")

CASES = {
    "as a team": ("", [f"{PLACE}: {RULE}, got 5"]),
    "with an expired exception": (
        HALF.replace("2026-11-24", "2026-10-01").replace("2026-12-05", "2026-11-30"),
        [f"{PLACE}: {RULE}; exception EX-1 (policy.yaml:6) expired on 2026-11-30, got 5"],
    ),
    "with someone else's exception": (
        HALF.replace("service: checkout", "service: billing"),
        [f"{PLACE}: {RULE}; exception EX-1 (policy.yaml:6) is for service billing, got 5"],
    ),
    "with a live exception that goes to its ceiling": (
        HALF,
        [f"{PLACE}: {RULE}; exception EX-1 (policy.yaml:6) goes to 0.5 only, got 5"],
    ),
    "with a live exception over its ceiling": (
        EXCEPTION.replace("value: 0.35", "value: 5"),
        [
            "policy.yaml:10: exceptions[0].value: must be at most 0.5 (ceiling of the guardrail, policy.yaml:4), got 5",
            f"{PLACE}: {RULE}, got 5",
        ],
    ),
}


def write(*texts: str) -> None:
    for name, text in zip(NAMES, texts, strict=True):
        Path(name).write_text(text, encoding="utf-8")


def at_check(log: Path) -> list[str]:
    del log
    result = CliRunner().invoke(main, ["policy", "check", *NAMES, "--at", "2026-12-01", "--format", "json"])
    assert result.exit_code == 1
    return [str(Finding(*(f[key] for key in KEYS))) for f in json.loads(result.output)["findings"]]


def at_load(log: Path) -> list[str]:
    del log
    with pytest.raises(InvalidDocument) as caught:
        load(Path("sidecar.yaml"), NOW)
    return [str(finding) for finding in caught.value.findings]


def at_start(log: Path) -> list[str]:
    """Of a process, without and with --strict."""
    del log
    reasons = []
    for strict in (False, True):
        with pytest.raises(InvalidDocument) as caught:
            asyncio.run(PolicyLoader(Path("sidecar.yaml"), "pod", wall=lambda: NOW).first(strict=strict))
        reasons.append([str(finding) for finding in caught.value.findings])
    assert reasons[0] == reasons[1]
    return reasons[0]


def at_reload(log: Path) -> list[str]:
    """In a running sidecar: the document it began with stays in force, and the log says why."""
    wrong = [Path(name).read_text(encoding="utf-8") for name in NAMES]

    async def run(out: Log) -> None:
        write(SIDECAR + FREE_PORTS, POLICY + GUARDRAIL)
        loader = PolicyLoader(Path("sidecar.yaml"), "pod", wall=lambda: NOW)
        sidecar = Sidecar(loader, await loader.first(strict=True), out, lambda: NOW)
        await sidecar.start()
        try:
            write(*wrong)
            result = await sidecar.policy.reload()
            assert not result.ok
            assert sidecar.route_table.destinations["payments"].policy.budget.ratio == 0.1
            assert sidecar.state.ready() == []
        finally:
            await sidecar.close()

    with log.open("wb") as stream:
        out = Log(Format.JSON, LogLevel.INFO, stream.fileno())
        asyncio.run(run(out))
        out.close()
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return [line["finding"] for line in lines if line["event"] == "reload_refused"]


@pytest.mark.parametrize("judged", [at_check, at_load, at_start, at_reload])
@pytest.mark.parametrize(("exception", "reasons"), CASES.values(), ids=CASES)
def test_a_budget_of_five_is_refused_for_its_own_stated_reason(
    exception: str,
    reasons: list[str],
    judged: Callable[[Path], list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(SIDECAR + ASKED, POLICY + GUARDRAIL + exception)

    assert judged(tmp_path / "log") == reasons
