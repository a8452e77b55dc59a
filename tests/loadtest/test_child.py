"""No measurement that is ended leaves a process of its own behind, however it is ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.child import _ends_with
from loadtest.meter import tree
from tests.fakes.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0  # seconds
COMMANDS = {
    "cost": ["cost", "--only", "sidecar", "--rows", "get", "--generator", "own", "--rounds", "50", "--seconds", "60"],
    "storm": ["storm", "--scenario", "brownout", "--subject", "sidecar"],
    "soak": ["soak", "--requests", "100000000", "--stages", "requests"],
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="of Linux: /proc, prctl")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_measurement_that_is_ended_leaves_no_process_behind(command: list[str], how: signal.Signals) -> None:
    started = subprocess.Popen(
        [sys.executable, "-m", "loadtest", *command], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    children: set[int] = set()
    try:
        wait_until(lambda: any("sidecar" in words and "run" in words for words in map(words_of, tree(started.pid))))
        children = set(tree(started.pid)) - {started.pid}

        started.send_signal(how)
        started.wait(PATIENCE)

        wait_until(lambda: not any(map(words_of, children)))
    finally:
        started.kill()
        started.wait()
        for pid in children:
            if words_of(pid):
                os.kill(pid, signal.SIGKILL)


def test_a_child_whose_parent_is_gone_before_it_begins_does_not_begin() -> None:
    pid = os.fork()
    if pid == 0:
        _ends_with(1 << 30)
        os._exit(0)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


def words_of(pid: int) -> list[str]:
    """The command line of a process; empty if it is gone, or only waits to be asked how it ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0") if is_alive(pid) else []
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
