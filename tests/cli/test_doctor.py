import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sidecar.cli import main
from sidecar.doctor.diagnosis import WORDS
from tests.fakes.dated import dated, free_port
from tests.fakes.running import COMMAND, running


def doctor(*arguments: str) -> "tuple[int, str]":
    done = subprocess.run(
        [*COMMAND, "doctor", *arguments], capture_output=True, text=True, check=False, timeout=120, env=_environment()
    )
    return done.returncode, done.stdout + done.stderr


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SIDECAR_")}


def flags(port: int) -> list[str]:
    return [
        *("--upstream", f"payments=http://127.0.0.1:{port}"),
        *("--listen", f"127.0.0.1:{free_port()}"),
        *("--admin", f"127.0.0.1:{free_port()}"),
    ]


def test_what_is_well_is_exit_code_zero() -> None:
    with dated() as (port, _):
        code, said = doctor(*flags(port))

    assert code == 0, said
    assert f"ok  reachability    payments 127.0.0.1:{port}" in said
    assert "0 findings" in said


def test_a_finding_is_exit_code_one_with_its_reason_and_its_cure() -> None:
    code, said = doctor(*flags(free_port()))

    assert code == 1
    assert "WRONG  reachability    connect_refused: payments 127.0.0.1:" in said
    assert f"why   {WORDS['connect_refused'].why}" in said
    assert "cure  start what should listen at 127.0.0.1:" in said


def test_json_has_the_same_words(tmp_path: Path) -> None:
    code, said = doctor("--json", *flags(free_port()))

    document = json.loads(said)
    assert document["exit_code"] == code == 1
    (found,) = [each for each in document["checks"] if each["mark"] == "trouble"]
    assert (found["check"], found["word"]) == ("reachability", "connect_refused")
    assert set(found) == {"check", "mark", "what", "word", "why", "cure"}


def test_a_file_that_is_not_there_is_exit_code_two_and_one_line(tmp_path: Path) -> None:
    code, said = doctor("--config", str(tmp_path / "no.yaml"))

    assert (code, said) == (2, f"sidecar doctor: {tmp_path / 'no.yaml'}: can not be read: No such file or directory\n")


def test_nothing_to_look_at_is_exit_code_two() -> None:
    result = CliRunner().invoke(main, ["doctor"], env={"SIDECAR_UPSTREAMS": None, "SIDECAR_CONFIG": None})

    assert result.exit_code == 2
    assert "say what to call" in result.output


def test_beside_a_sidecar_that_runs_its_ports_are_its_own(tmp_path: Path) -> None:
    admin = free_port()
    with dated() as (port, _):
        payments = {"endpoints": [f"http://127.0.0.1:{port}"], "listen": f"127.0.0.1:{free_port()}"}
        shared = {"listen": [f"127.0.0.1:{free_port()}"]}
        with running(tmp_path, {"payments": payments}, admin={"listen": f"127.0.0.1:{admin}"}, egress=shared) as one:
            code, said = doctor("--config", str(tmp_path / "sidecar.yaml"))
            mine = f"held by the sidecar that runs, pid {one.process.pid}: 127.0.0.1:{admin} "
            elsewhere, other = doctor("--config", str(tmp_path / "sidecar.yaml"), "--admin", f"127.0.0.1:{free_port()}")

    assert code == 0, said
    assert mine in said
    assert f"ok  running         checkout 0.1.0 at 127.0.0.1:{admin}" in said
    assert elsewhere == 1
    assert f"port_taken: egress.listen {shared['listen'][0]}: another sidecar, pid {one.process.pid} (" in other


@pytest.mark.parametrize("terminal", [False, True])
def test_colours_are_for_terminals(terminal: bool) -> None:
    environment = {**_environment(), "TERM": "xterm", **({"FORCE_COLOR": "1"} if terminal else {})}
    said = subprocess.run(
        [*COMMAND, "doctor", *flags(free_port())],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment,
    ).stdout

    assert ("\x1b[" in said) is terminal


def test_run_does_not_import_it() -> None:
    code = "import sys, sidecar.cli.run; print(*sorted(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout

    assert not [name for name in loaded.split() if name.startswith("sidecar.doctor")]
