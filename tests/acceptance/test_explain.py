"""`sidecar explain --took` says what happens: each case is asked of the command and sent over real sockets."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from sidecar.cli import main
from tests.fakes.origin import Origin, Request, response
from tests.fakes.running import running

POLICY = {"defaults": {"per_attempt_timeout": "300ms", "timeout": "1500ms", "retry": {"max_attempts": 2}}}
ROUTES = [
    {
        "name": "reports",
        "match": {"methods": ["GET"], "path": "/reports/{id}"},
        "timeout": "5s",
        "per_attempt_timeout": "4s",
    }
]


def explained(folder: Path, method: str, path: str, status: int, took: float) -> dict[str, Any]:
    flags = ["--status", str(status), "--took", f"{round(took * 1000)}ms", "--rate", "0", "--format", "json"]
    arguments = ["explain", method, f"http://payments{path}", *flags, "--config", str(folder / "sidecar.yaml")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    said: dict[str, Any] = json.loads(result.output)
    return said


@pytest.mark.parametrize(
    ("method", "path", "status", "took"),
    [
        ("GET", "/x", 200, 0.0),
        ("GET", "/x", 503, 0.0),
        ("GET", "/x", 200, 0.6),  # late, and answered before the deadline of 1.5 s
        ("GET", "/x", 503, 0.6),  # late, and both attempts fail
        ("GET", "/x", 200, 2.5),  # beyond the deadline
        ("POST", "/x", 200, 0.6),
        ("POST", "/x", 503, 0.0),
        ("GET", "/reports/7?full=1", 200, 2.5),  # a route with more time
        ("GET", "/reports", 200, 2.5),  # and not on it
    ],
)
async def test_what_is_explained_is_what_happens(
    method: str, path: str, status: int, took: float, tmp_path: Path
) -> None:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(took)
        writer.write(response(status, b"x"))

    async with Origin(answer) as origin:
        entry = {"endpoints": [f"http://127.0.0.1:{origin.port}"], "hosts": ["payments"], "routes": ROUTES}
        with running(tmp_path, {"payments": entry}, POLICY) as sidecar:
            async with aiohttp.ClientSession() as session, session.request(method, sidecar.url + path) as got:
                await got.read()
        lines = sidecar.lines("exchange")  # none where the first attempt was all there was
    told = explained(tmp_path, method, path, status, took)

    refusals = {each["refusal"] for each in told["attempts"]} - {None}
    assert told["status"] == got.status
    assert str(len(told["attempts"])) == got.headers["x-sidecar-attempts"]
    assert refusals == {word for word in [got.headers.get("x-sidecar-refusal")] if word is not None}
    late = [one["late"] for line in lines for one in line["attempts"]] or [False]
    assert [each["late_seconds"] is not None for each in told["attempts"]] == late
