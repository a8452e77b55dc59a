"""Runs the cases against a client in any language: a command that is started once for each case.

It reads one JSON object from standard input, makes the calls one after the other, and writes one JSON object per call,
a line each, to standard output:

    {"case": "a_503_then_good", "base_url": "http://127.0.0.1:40001/a_503_then_good", "policy": {…},
     "calls": [{"url": "http://127.0.0.1:40001/a_503_then_good/0", "method": "GET", "keyed": false}]}

    {"outcome": "answer", "status": 200, "refusal": null}

`outcome` is answer, fault, timeout or refused; `refusal` may be left out. What was sent is counted at the dependency.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any, Final

from sidecar.vectors.case import VectorCase
from sidecar.vectors.dependency import ScriptedDependency
from sidecar.vectors.judge import SeenCall, shortcomings

PATIENCE: Final = 30.0
"""Seconds that a command may take for one case."""
OUTCOMES: Final = frozenset({"answer", "fault", "timeout", "refused"})


class BadClient(Exception):
    """The command did not do its part; the message says which."""


async def run_command(case: VectorCase, command: Sequence[str]) -> list[str]:
    """The deviations of `command` from what `case` expects, one line each.

    Raises BadClient if it fails, takes too long, or writes something else, and OSError if it cannot be started.
    """
    async with ScriptedDependency([case]) as dependency:
        base = f"http://127.0.0.1:{dependency.port}/{case.name}"
        request = {
            "case": case.name,
            "base_url": base,
            "policy": case.policy,
            "calls": [
                {"url": f"{base}/{place}", "method": call.method, "keyed": call.keyed}
                for place, call in enumerate(case.calls)
            ],
        }
        seen = await _calls(request, command, len(case.calls))
        for place, call in enumerate(seen):
            call.attempts = dependency.seen.get(f"/{case.name}/{place}", [])
        return shortcomings(case, seen)


async def _calls(request: dict[str, Any], command: Sequence[str], count: int) -> list[SeenCall]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    seen: list[SeenCall] = []
    try:
        async with asyncio.timeout(PATIENCE):
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.close()
            began = time.monotonic()
            while line := await process.stdout.readline():
                now = time.monotonic()
                # Of the first call the start of the program is part: its time says nothing.
                seen.append(_call(line, now - began if seen else 0.0))
                began = now
            code = await process.wait()
    except TimeoutError:
        raise BadClient(f"it did not end within {PATIENCE:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code != 0:
        raise BadClient(f"it ended with exit code {code}")
    if len(seen) != count:
        raise BadClient(f"it wrote {len(seen)} lines for {count} calls")
    return seen


def _call(line: bytes, seconds: float) -> SeenCall:
    shown = line.decode("utf-8", "replace").strip()[:200]
    try:
        written = json.loads(line)
    except ValueError:
        raise BadClient(f"it wrote a line that is not JSON: {shown}") from None
    if not isinstance(written, dict) or written.get("outcome") not in OUTCOMES:
        raise BadClient(f"it wrote a line without an outcome (one of {', '.join(sorted(OUTCOMES))}): {shown}")
    return SeenCall(
        outcome=written["outcome"], status=written.get("status"), refusal=written.get("refusal"), seconds=seconds
    )
