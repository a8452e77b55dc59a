"""What a start takes, phase by phase, and what a sidecar weighs then: `python -m loadtest.start_cost [PYTHON...]`.

PYTHON is the interpreter of another checkout, such as `../base/.venv/bin/python`: it is measured in turns with this
one, so that a busy machine is as busy for both. Phases that an older checkout does not have are left out of its column.
The least of several rounds counts, because a shared machine only ever makes a start slower. A first round, which
compiles and reads every file, is not counted.
"""

import asyncio
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from loadtest.child import ROOT, Child, free_port
from loadtest.generator import HOST, ClosedLoop
from loadtest.meter import Meter
from loadtest.plan import SMALL
from loadtest.subjects.sidecar import POLICY, Sidecar

ROUNDS: Final = 5
REQUESTS: Final = 1000
CONNECTIONS: Final = 256
LOAD_SECONDS: Final = 3.0
PATIENCE: Final = 60.0
REST_SECONDS: Final = 3.0
"""The admin plane is imported after the first answer."""
MEGABYTE: Final = 1e6

_PHASES: Final = """
import sys, time
began = time.perf_counter()
import sidecar.cli.run, asyncio, json
from pathlib import Path
from sidecar.app.lifecycle import Sidecar
from sidecar.governance.loading.loader import PolicyLoader
from sidecar.telemetry.log import Format, LogLevel, configure
marks = [time.perf_counter()]

async def main():
    loader = PolicyLoader(Path(sys.argv[1]), "pod")
    loaded = await loader.first(strict=False)
    marks.append(time.perf_counter())
    proxy = Sidecar(loader, loaded, configure(Format.JSON, LogLevel.ERROR))
    marks.append(time.perf_counter())
    await proxy.start()
    marks.append(time.perf_counter())
    await proxy.close()

asyncio.run(main())
print(json.dumps([after - before for before, after in zip([began, *marks], marks)]))
"""
_PHASE_NAMES: Final = ("imports", "reading the documents", "building", "listening, with the admin plane")


def measure(python: str, scratch: Path, upstream_port: int) -> dict[str, float]:
    """One round: seconds, and megabytes (10^6 bytes)."""
    interpreter = _seconds(python, "pass")
    assert interpreter is not None
    figures = {"interpreter, s": interpreter}
    if (client := _seconds(python, "import sidecar.client")) is not None:
        figures["import sidecar.client, s"] = client - interpreter
    port = free_port()
    argv = Sidecar().command(scratch, port, upstream_port)[1:]
    config = Path(argv[-1])
    policy = _home(python) / POLICY.relative_to(ROOT)  # its own: an older one refuses words that it does not know
    config.write_text(config.read_text().replace(str(POLICY), str(policy)))
    phases = subprocess.run(
        [python, "-c", _PHASES, str(config)], check=False, capture_output=True, text=True, cwd=_home(python)
    )
    if phases.returncode == 0:
        for name, seconds in zip(_PHASE_NAMES, json.loads(phases.stdout), strict=True):
            figures[f"{name}, s"] = seconds
    command = ["/bin/sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", str(_home(python)), python, *argv]
    with Child("sidecar", command, core=None, log=scratch / "sidecar.log") as child:
        figures["first answer, s"] = child.first_answer(port, SMALL.request(), PATIENCE)
        time.sleep(REST_SECONDS)
        meter = Meter(child.pid)
        figures["RSS at rest, MB"] = meter.memory().rss_bytes / MEGABYTE
        used = meter.cpu_seconds()
        time.sleep(REST_SECONDS)
        figures["CPU at rest, cores"] = (meter.cpu_seconds() - used) / REST_SECONDS
        _ask(port)
        figures[f"RSS after {REQUESTS:,} requests, MB"] = meter.memory().rss_bytes / MEGABYTE
        crowd = ClosedLoop(port, SMALL, CONNECTIONS)
        asyncio.run(crowd.run(1.0, LOAD_SECONDS, meter.cpu_seconds))
        figures[f"RSS at most, {CONNECTIONS} connections at once, MB"] = meter.peak_bytes() / MEGABYTE
    return figures


def main() -> None:
    """Print a table: a row for each figure, a column for each interpreter."""
    pythons = [sys.executable, *sys.argv[1:]]
    least: dict[str, dict[str, float]] = {python: {} for python in pythons}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        # Bytecode as an image has it, whatever this shell says: without it half of a start is compiling.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(scratch / "bytecode")
        log = scratch / "upstream.log"
        with Child("upstream", [sys.executable, "-m", "loadtest.upstream"], core=None, log=log) as upstream:
            upstream_port = int(upstream.first_line(PATIENCE))
            for number in range(ROUNDS + 1):
                for python in pythons:
                    figures = measure(python, scratch, upstream_port)
                    for name, figure in figures.items() if number else ():
                        least[python][name] = min(figure, least[python].get(name, figure))
    print(f"{'least of ' + str(ROUNDS):48}", *(f"{_home(python).name:>10}" for python in pythons))
    for name in least[pythons[0]]:
        digits = 1 if name.endswith("MB") else 3
        print(f"{name:48}", *(f"{least[python].get(name, math.nan):10.{digits}f}" for python in pythons))


def _home(python: str) -> Path:
    """The checkout that an interpreter belongs to: `.venv/bin/python` of it."""
    return ROOT if python == sys.executable else Path(python).absolute().parents[2]


def _seconds(python: str, program: str) -> float | None:
    """From exec to the end; None where the checkout has no such module."""
    began = time.perf_counter()
    ended = subprocess.run([python, "-c", program], check=False, stderr=subprocess.DEVNULL, cwd=_home(python))
    return time.perf_counter() - began if ended.returncode == 0 else None


def _ask(port: int) -> None:
    with socket.create_connection((HOST, port), timeout=PATIENCE) as connection:
        for _ in range(REQUESTS):
            connection.sendall(SMALL.request())
            assert connection.recv(65536)[9:12] == b"200"


if __name__ == "__main__":
    main()
