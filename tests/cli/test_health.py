import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sidecar.cli import main
from sidecar.net import Address
from sidecar.watch.readiness import Readiness
from tests.fakes.running import running


def told(monkeypatch: pytest.MonkeyPatch, readiness: Readiness) -> list[Address]:
    asked: list[Address] = []

    def ask(address: Address, _seconds: float) -> Readiness:
        asked.append(address)
        return readiness

    monkeypatch.setattr("sidecar.cli.health.ask", ask)
    return asked


def test_ready_is_exit_zero_and_warnings_do_not_change_that(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, Readiness(ready=True, reasons=[], warnings=["unman\x1baged"]))

    result = CliRunner().invoke(main, ["health"])

    assert result.exit_code == 0
    assert result.output == "ready\n  warning: unman\\x1baged\n"


def test_not_ready_is_exit_one_with_the_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, Readiness(ready=False, reasons=["draining: finishing"], warnings=[]))

    result = CliRunner().invoke(main, ["health"])

    assert result.exit_code == 1
    assert result.output == "not ready\n  draining: finishing\n"


@pytest.mark.parametrize(
    ("arguments", "variable", "asked"),
    [
        ([], None, "127.0.0.1:16000"),
        ([], "127.0.0.1:17000", "127.0.0.1:17000"),
        (["--address", "admin"], "[::1]:17000", "[::1]:17000"),
        (["--address", "0.0.0.0:16002"], "127.0.0.1:17000", "0.0.0.0:16002"),
        (["--address", "http://127.0.0.1:16002/"], None, "127.0.0.1:16002"),
    ],
)
def test_it_asks_the_admin_plane_or_where_it_is_told(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], variable: str | None, asked: str
) -> None:
    addresses = told(monkeypatch, Readiness(ready=True, reasons=[], warnings=[]))

    CliRunner().invoke(main, ["health", *arguments], env={"SIDECAR_ADMIN": variable})

    assert addresses == [asked]


def test_nobody_there_is_exit_two_and_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    result = CliRunner().invoke(main, ["health", "--address", f"127.0.0.1:{port}"])

    assert result.exit_code == 2
    assert result.output.startswith(f"sidecar health: no sidecar answers at http://127.0.0.1:{port}/readyz: ")
    assert result.output.count("\n") == 1


def test_a_bad_address_is_exit_two() -> None:
    result = CliRunner().invoke(main, ["health", "--address", "nowhere"])

    assert result.exit_code == 2
    assert "must be an IP address and a port" in result.output


def test_a_running_sidecar_is_ready(tmp_path: Path) -> None:
    with running(tmp_path, {"payments": {"endpoints": ["http://127.0.0.1:1"]}}) as sidecar:
        result = CliRunner().invoke(main, ["health", "--address", sidecar.admin])

    assert result.exit_code == 0
    assert result.output.startswith("ready\n")


def test_it_imports_nothing_heavy() -> None:
    code = "import sys, sidecar.__main__, sidecar.cli.health; print(*sorted(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30).stdout

    heavy = {"aiohttp", "asyncio", "http.client", "msgspec", "rich", "ssl", "structlog", "uvloop", "yaml"}
    assert not heavy & set(loaded.split())
