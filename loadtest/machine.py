"""The facts that a figure means nothing without."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from loadtest.meter import resolution
from loadtest.wrk import installed


def facts() -> dict[str, str | int]:
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "uvloop": version("uvloop"),
        "httptools": version("httptools"),
        "wrk": "installed" if installed() else "not installed",
        "cpu_time_resolution": resolution(),
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
