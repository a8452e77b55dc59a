"""The systemd unit, judged by systemd-analyze."""

import json
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.fakes.sandbox import in_sandbox
from tests.fakes.tools import tool

UNIT = Path(__file__).parents[2] / "deploy/systemd/retry-sidecar.service"
COMMAND = Path(sys.executable).parent / "sidecar"
EXPOSURE_CEILING = 2.0
"""Of 10, as `systemd-analyze security` counts. The proxy has to listen, to connect and to resolve names."""


def unit() -> dict[str, str]:
    parser = ConfigParser(strict=False, interpolation=None, delimiters="=")
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(UNIT.read_text(encoding="utf-8"))
    return dict(parser["Service"])


def test_systemd_takes_it() -> None:
    ran = in_sandbox(
        [tool("systemd-analyze"), "verify", "/opt/units/retry-sidecar.service"],
        *("--tmpfs", "/opt", "--tmpfs", "/run"),
        *("--ro-bind", COMMAND, "/opt/retry-sidecar/bin/sidecar", "--ro-bind", UNIT.parent, "/opt/units"),
    )

    assert (ran.returncode, ran.stderr) == (0, "")


def test_it_is_confined() -> None:
    command = [tool("systemd-analyze"), "security", "--offline=true", "--no-pager", "--json=short", UNIT]

    ran = in_sandbox(command, "--tmpfs", "/run")

    exposed = [float(entry["exposure"]) for entry in json.loads(ran.stdout) if entry["exposure"]]
    assert len(exposed) > 5
    within = in_sandbox([*command[:2], f"--threshold={EXPOSURE_CEILING * 10:g}", *command[2:]], "--tmpfs", "/run")
    assert within.returncode == 0, within.stdout


def test_it_waits_longer_than_a_drain_and_does_not_restart_a_wrong_configuration() -> None:
    service = unit()

    assert float(service["TimeoutStopSec"]) > 25
    assert service["KillSignal"] == "SIGTERM"
    assert service["RestartPreventExitStatus"] == "2"
    assert "-HUP" in service["ExecReload"]


@pytest.mark.parametrize("line", ["ExecStart", "ExecStartPost"])
def test_it_starts_commands_that_exist(line: str) -> None:
    words = unit()[line].replace("/bin/sh -c 'until ", "").replace(";", " ").split()
    assert words[0] == "/opt/retry-sidecar/bin/sidecar"

    ran = in_sandbox([COMMAND, words[1], "--help"])

    assert ran.returncode == 0
    assert all(word in ran.stdout for word in words if word.startswith("--"))
