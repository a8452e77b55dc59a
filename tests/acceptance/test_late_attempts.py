"""A late attempt goes on beside its retry, on real sockets, with the sidecar as its users start it."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.fakes.origin import Origin, Request, response
from tests.fakes.running import running

POLICY = {"defaults": {"per_attempt_timeout": "200ms", "timeout": "5s"}}
"""With which an attempt is late after 200 ms."""


class Slow:
    """Answers the first request as the first of `answers` (seconds, status, body) says, the later ones as the last."""

    def __init__(self, *answers: tuple[float, int, bytes]) -> None:
        self.answers = list(answers)

    async def __call__(self, _: Request, writer: asyncio.StreamWriter) -> None:
        seconds, status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await asyncio.sleep(seconds)
        writer.write(response(status, body))


@dataclass
class Seen:
    """What came of one request: for its client, in the log, in the metrics, and at the endpoint."""

    status: int
    body: bytes
    attempts_told: str
    seconds: float
    attempts: list[dict[str, Any]]
    metrics: str
    sent: int


async def ask(folder: Path, slow: Slow, method: str = "GET") -> Seen:
    async with Origin(slow) as origin:
        endpoint = {"payments": {"endpoints": [f"http://127.0.0.1:{origin.port}"]}}
        with running(folder, endpoint, POLICY) as sidecar:
            began = time.monotonic()
            async with aiohttp.ClientSession() as session:
                async with session.request(method, f"{sidecar.url}/x") as got:
                    body = await got.read()
            took = time.monotonic() - began
            metrics = await asyncio.to_thread(sidecar.get, "/metrics")
        (line,) = sidecar.lines("exchange")
    told = got.headers["x-sidecar-attempts"]
    return Seen(got.status, body, told, took, line["attempts"], metrics, len(origin.requests))


def shown(seen: Seen) -> list[tuple[int, str, bool]]:
    return [(one["n"], one["outcome"], one["late"]) for one in seen.attempts]


async def test_the_late_attempt_wins_when_its_retry_is_slower_still(tmp_path: Path) -> None:
    seen = await ask(tmp_path, Slow((0.7, 200, b"elder"), (4.0, 200, b"retry")))

    assert (seen.status, seen.body, seen.attempts_told) == (200, b"elder", "2")
    assert 0.7 <= seen.seconds < 2.0
    assert [(one["n"], one["outcome"]) for one in seen.attempts] == [(1, "200"), (2, "superseded")]
    assert seen.attempts[0]["late"]
    assert 'sidecar_late_wins_total{destination="payments"} 1' in seen.metrics


async def test_the_retry_wins_when_the_late_attempt_hangs(tmp_path: Path) -> None:
    seen = await ask(tmp_path, Slow((4.0, 200, b"elder"), (0.0, 200, b"retry")))

    assert (seen.status, seen.body) == (200, b"retry")
    assert seen.seconds < 1.5
    assert shown(seen) == [(1, "superseded", True), (2, "200", False)]
    elder, retry = seen.attempts
    assert elder["began_ms"] + elder["ms"] > retry["began_ms"]
    assert 'sidecar_attempts_total{destination="payments",kind="first",outcome="superseded"} 1' in seen.metrics


async def test_a_failure_of_the_retry_leaves_the_late_attempt_awaited(tmp_path: Path) -> None:
    seen = await ask(tmp_path, Slow((0.9, 200, b"elder"), (0.0, 503, b"retry")))

    assert (seen.status, seen.body) == (200, b"elder")
    assert shown(seen) == [(1, "200", True), (2, "503", False)]
    assert seen.sent == 2


async def test_a_write_that_is_late_is_not_sent_again_and_its_answer_is_delivered(tmp_path: Path) -> None:
    seen = await ask(tmp_path, Slow((0.7, 201, b"done")), "POST")

    assert (seen.status, seen.body, seen.sent) == (201, b"done", 1)
    assert shown(seen) == [(1, "201", True)]
    assert 'sidecar_late_attempts_total{destination="payments"} 1' in seen.metrics
