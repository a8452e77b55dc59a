"""What a process and its descendants have used, read from /proc."""

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
KB = 1024  # /proc says kB and means 1,024 bytes
NANOSECOND = 1e-9
RUN, WAITED = 0, 1  # fields of schedstat: nanoseconds on a core, and ready but waiting for one


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of all processes together. RSS counts a page shared by two of them twice; PSS does not."""

    rss_bytes: int
    pss_bytes: int


class Meter:
    """Reads one process tree.

    The tree is taken when the meter is made, which has to be after the proxy answered for the first time: looking for
    children means reading all of /proc, too slow for the edges of a measurement. Time of threads that have ended is
    not counted; none of the subjects ends threads under load.
    """

    def __init__(self, pid: int) -> None:
        self.pids = tree(pid)

    def cpu_seconds(self) -> float:
        """User and system time so far. Nanoseconds from schedstat where the kernel keeps it, else ticks."""
        return sum(cpu_seconds_of(pid) for pid in self.pids)

    def waited_seconds(self) -> float:
        """Time spent ready to run while another process had the core. 0 where the kernel keeps no schedstat."""
        tasks = (task for pid in self.pids for task in _tasks(pid))
        return sum(_schedstat(task, WAITED) for task in tasks) * NANOSECOND

    def memory(self) -> Memory:
        rss = sum(_kilobytes(PROC / str(pid) / "status", "VmRSS:") for pid in self.pids)
        pss = sum(_kilobytes(PROC / str(pid) / "smaps_rollup", "Pss:") for pid in self.pids)
        return Memory(rss * KB, pss * KB)

    def forget_peak(self) -> None:
        """Let the peak begin at what it is now (proc(5), clear_refs 5)."""
        for pid in self.pids:
            (PROC / str(pid) / "clear_refs").write_text("5")

    def peak_bytes(self) -> int:
        """The most resident memory since `forget_peak`, as the kernel kept it; each process's own peak, added up."""
        return sum(_kilobytes(PROC / str(pid) / "status", "VmHWM:") for pid in self.pids) * KB


def tree(pid: int) -> list[int]:
    """The process and its descendants, parents first. Empty if it is gone."""
    children: dict[int, list[int]] = {}
    alive = set()
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            alive.add(int(entry.name))
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid] if pid in alive else []
    for parent in found:
        found.extend(children.get(parent, ()))
    return found


def resolution() -> str:
    """How fine `cpu_seconds` is on this machine, in words."""
    if _has_schedstat(os.getpid()):
        return "nanoseconds (/proc/PID/task/*/schedstat)"
    return f"{1 / os.sysconf('SC_CLK_TCK') * 1e3:.0f} ms (/proc/PID/stat)"


def cpu_seconds_of(pid: int) -> float:
    """User and system time of one process with its living threads; 0 if it is gone."""
    if _has_schedstat(pid):
        return sum(_schedstat(task, RUN) for task in _tasks(pid)) * NANOSECOND
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def _has_schedstat(pid: int) -> bool:
    # A kernel that keeps no such statistics has no file, or one that says zero for a process that has run.
    return _schedstat(PROC / str(pid), RUN) > 0


def _tasks(pid: int) -> list[Path]:
    try:
        return list((PROC / str(pid) / "task").iterdir())
    except OSError:
        return []


def _schedstat(task: Path, field: int) -> int:
    try:
        return int((task / "schedstat").read_bytes().split()[field])
    except (OSError, IndexError):
        return 0


def _stat(pid: int) -> list[str]:
    # proc(5): the command's name is in parentheses and may contain anything, so count the fields after the last one.
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _kilobytes(path: Path, field: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)
