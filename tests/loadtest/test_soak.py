"""The soak as it is typed, smaller; and that it finds a proxy which keeps what passes through it."""

import json
import subprocess
import sys
from pathlib import Path

from loadtest.child import ROOT
from loadtest.soak.command import run
from loadtest.soak.stages import MEGABYTE, STAGES, Size


def soak(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadtest", "soak", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class Hoarder:
    """tests/fakes/hoarder.py as a subject."""

    name = "hoarder"
    is_optional = False

    def version(self) -> str:
        return "0"

    def command(self, directory: Path, port: int, upstream_port: int) -> list[str]:
        del directory
        return [sys.executable, str(ROOT / "tests" / "fakes" / "hoarder.py"), str(port), str(upstream_port)]


def test_the_sidecar_keeps_nothing_of_what_passes_through_it() -> None:
    fast = [name for name in STAGES if "slow" not in name]

    ran = soak(
        *("--megabytes", "60", "--requests", "20000", "--connections", "300", "--stages", ",".join(fast)),
        *("--json", "--assert"),
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    stages = json.loads(ran.stdout)["stages"]
    assert [stage["stage"] for stage in stages] == fast
    assert all(stage["wrong"] == "" for stage in stages)


async def test_a_proxy_that_holds_bodies_back_is_found() -> None:
    outcomes = await run(Hoarder(), ["download", "upload", "download-deaf"], Size(40 * MEGABYTE, 0, 0))

    assert [outcome.is_met for outcome in outcomes] == [False, False, False]
    assert "caller does not read" in outcomes[2].wrong


def test_an_unknown_stage_is_one_line_and_exit_two() -> None:
    ran = soak("--stages", "sidestroke")

    assert ran.returncode == 2
    assert "'sidestroke' is none of download," in ran.stderr.splitlines()[-1]
