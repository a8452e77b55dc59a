"""A log that nobody reads costs lines, and no request: the pipe of the real command is full and stays so."""

import asyncio
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import aiohttp

from tests.cli.test_run import free_port
from tests.fakes.origin import Origin, replying, response
from tests.fakes.running import COMMAND

REQUESTS = 3000


async def test_a_log_pipe_that_nobody_reads_stalls_neither_requests_nor_the_end(tmp_path: Path) -> None:
    async with Origin(replying(response(200))) as origin:
        admin, own = free_port(), free_port()
        file = tmp_path / "sidecar.yaml"
        file.write_text(
            json.dumps(
                {
                    "service": "checkout",
                    "admin": {"listen": f"127.0.0.1:{admin}"},
                    "policy": {"file": "policy.yaml"},
                    "egress": {"listen": [f"127.0.0.1:{free_port()}"]},
                    "destinations": {
                        "payments": {
                            "endpoints": [f"http://127.0.0.1:{origin.port}"],
                            "listen": f"127.0.0.1:{own}",
                        }
                    },
                }
            )
        )
        (tmp_path / "policy.yaml").write_text('{"version": 1, "owner": "platform", "access_log": {"sample": 1.0}}')
        reader, process = _started_on_a_full_pipe(file)
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
                await _ready(session, f"http://127.0.0.1:{admin}/readyz")
                slowest, statuses = 0.0, set()
                for _ in range(REQUESTS):
                    began = time.monotonic()
                    async with session.get(f"http://127.0.0.1:{own}/") as answer:
                        statuses.add(answer.status)
                    slowest = max(slowest, time.monotonic() - began)
                async with session.get(f"http://127.0.0.1:{admin}/metrics") as answer:
                    metrics = await answer.text()
            leaving = time.monotonic()
            process.send_signal(signal.SIGTERM)
            code = await asyncio.to_thread(process.wait, 15)
            left = time.monotonic() - leaving
        finally:
            process.kill()
            process.wait()
            os.close(reader)

    dropped = re.search(r'^sidecar_log_lines_dropped_total\{reason="rate_limit"\} (\d+)', metrics, re.MULTILINE)
    assert statuses == {200}
    assert slowest < 2.0
    assert dropped is not None
    assert int(dropped[1]) > REQUESTS / 3
    assert code == 0
    assert left < 6.0


def _started_on_a_full_pipe(config: Path) -> tuple[int, subprocess.Popen[bytes]]:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"." * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    process = subprocess.Popen([*COMMAND, "run", "--config", str(config)], stderr=writer, stdout=writer)
    os.close(writer)
    return reader, process


async def _ready(session: aiohttp.ClientSession, url: str) -> None:
    for _ in range(200):
        try:
            async with session.get(url) as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.05)
    raise AssertionError("it never became ready")
