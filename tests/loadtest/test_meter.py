"""The meter sees what processes use, and which belong together."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from loadtest.meter import Meter, cpu_seconds_of, resolution, tree

# Says a line, spends processor time for each line it is given, and ends with its input.
WORKER = """
import subprocess, sys
print(flush=True)
for line in sys.stdin:
    sum(range(3_000_000))
    print(flush=True)
"""
PARENT = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {WORKER!r}]))"


@pytest.fixture
def family() -> Iterator[subprocess.Popen[str]]:
    """A parent that waits and a child that works."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        line(parent)
        yield parent
        assert parent.stdin is not None
        parent.stdin.close()
        parent.wait(10)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def work(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    line(process)


def test_a_tree_is_the_process_and_its_child(family: subprocess.Popen[str]) -> None:
    pids = tree(family.pid)

    assert pids[0] == family.pid
    assert len(pids) == 2


def test_the_work_of_a_child_is_counted(family: subprocess.Popen[str]) -> None:
    meter = Meter(family.pid)
    parent_before = cpu_seconds_of(family.pid)
    before = meter.cpu_seconds()

    work(family)

    grown = meter.cpu_seconds() - before
    assert grown > 0
    assert grown > cpu_seconds_of(family.pid) - parent_before


def test_waiting_for_a_core_is_never_less_than_before(family: subprocess.Popen[str]) -> None:
    meter = Meter(family.pid)
    before = meter.waited_seconds()

    work(family)

    assert meter.waited_seconds() >= before >= 0


def test_memory_is_of_all_processes_together(family: subprocess.Popen[str]) -> None:
    both = Meter(family.pid).memory()

    child = Meter(tree(family.pid)[1]).memory()

    assert 0 < child.rss_bytes < both.rss_bytes
    assert 0 < both.pss_bytes <= both.rss_bytes


def test_a_process_that_is_gone_has_used_nothing(family: subprocess.Popen[str]) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(10)

    assert tree(gone.pid) == []
    assert cpu_seconds_of(gone.pid) == 0.0


def test_the_resolution_is_said() -> None:
    assert resolution().startswith("nanoseconds") == (os.access("/proc/self/schedstat", os.R_OK))
