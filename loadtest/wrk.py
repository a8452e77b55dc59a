"""wrk as the load generator, where it is installed: it leaves more of a shared core to the upstream than Python."""

import json
import shutil
import subprocess
from collections.abc import Callable
from math import ceil
from pathlib import Path
from string import Template

from loadtest.generator import HOST
from loadtest.load import Load
from loadtest.workload import VARIANTS, Workload

MARK = "loadtest "
SLACK = 15.0  # seconds wrk may take longer than it was asked to

SCRIPT = Template("""\
wrk.method = "$method"
wrk.headers["Host"] = "payments"
wrk.headers["User-Agent"] = "loadtest"
wrk.headers["Accept"] = "application/json"
if $upload_bytes > 0 then
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = string.rep("x", $upload_bytes)
end
$varied
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\n$mark{"requests":%d,"microseconds":%d,"bytes":%d,"p50":%d,"p99":%d,'
    .. '"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
""")

VARIED = Template("""\
local number = 0
function request()
  number = (number + 1) % $variants
  wrk.headers["x-request-id"] = string.format("%032x", number)
  wrk.headers["traceparent"] = string.format("00-%032x-%016x-01", number, number)
  return wrk.format(nil, wrk.path .. "?payment=" .. number)
end
""")


def installed() -> bool:
    return shutil.which("wrk") is not None


def run(
    port: int,
    workload: Workload,
    *,
    connections: int,
    seconds: float,
    cpu_seconds: Callable[[], float],
    directory: Path,
) -> Load:
    """A closed loop for whole seconds, rounded up. Raises OSError or subprocess.SubprocessError if wrk fails.

    wrk checks statuses and framing; lengths are checked in the sum of what it read. Its window includes opening the
    connections and leaves out what is under way at the end: too much for large bodies, so it is for small ones.
    """
    script = directory / "wrk.lua"
    varied = VARIED.substitute(variants=VARIANTS) if workload.is_varied else ""
    script.write_text(
        SCRIPT.substitute(method=workload.method, upload_bytes=workload.upload_bytes, mark=MARK, varied=varied)
    )
    duration = ceil(seconds)
    argv = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{duration}s",
        "-s",
        str(script),
        f"http://{HOST}:{port}{workload.path}",
    ]
    before = cpu_seconds()
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=duration + SLACK, check=True)
    return read(ran.stdout, workload, cpu_seconds() - before)


def read(output: str, workload: Workload, cpu_seconds: float) -> Load:
    """What wrk printed, as a Load. Raises ValueError when its last line is not the script's."""
    line = output.rstrip().rpartition("\n")[2]
    if not line.startswith(MARK):
        raise ValueError(f"wrk ended with {line!r}")
    said = json.loads(line.removeprefix(MARK))
    errors = {f"wrk: {kind}": said[kind] for kind in ("connect", "read", "write", "status", "timeout") if said[kind]}
    if said["bytes"] < said["requests"] * len(workload.reply):
        errors["wrk: bodies too short in sum"] = 1
    return Load(said["requests"], errors, said["microseconds"] / 1e6, cpu_seconds, said["p50"] / 1e6, said["p99"] / 1e6)
