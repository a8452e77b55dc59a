"""A restart in place that loses nothing: the next process takes the listening sockets, under load."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.acceptance.generations import Generation, starting, write_file
from tests.fakes.callers import calling
from tests.fakes.origin import Origin, Request, response


async def answering_soon(_: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.005)
    writer.write(response(200))


async def test_restarts_in_place_under_load_lose_no_request(tmp_path: Path) -> None:
    place = tmp_path / "hand-over.sock"
    async with Origin(answering_soon) as origin:
        file, egress, ingress = write_file(tmp_path, origin)
        async with AsyncExitStack() as processes:
            flags = ("--hand-over", str(place))
            first = before = await processes.enter_async_context(starting(file, *flags, name="log0"))
            codes = []
            async with calling(lambda: [("127.0.0.1", egress), ("127.0.0.1", ingress)]) as callers:
                await callers.until(100)
                for number in range(1, 4):
                    after = await processes.enter_async_context(starting(file, *flags, name=f"log{number}"))
                    codes.append(await before.ended())
                    await callers.until(100)
                    before = after
            before.process.send_signal(signal.SIGTERM)
            codes.append(await before.ended())

    assert callers.failures == []
    assert codes == [0] * 4
    assert first.lines("drain")[0]["handed_over_to"] > 0
    assert after.lines("take_over")[0]["version"]
    assert not place.exists()


async def test_a_successor_that_fails_to_start_changes_nothing(tmp_path: Path) -> None:
    place = tmp_path / "hand-over.sock"
    async with Origin(answering_soon) as origin:
        file, egress, _ = write_file(tmp_path, origin)
        async with starting(file, "--hand-over", str(place)) as first:
            async with calling(lambda: [("127.0.0.1", egress)]) as callers:
                with socket.create_server(("127.0.0.1", 0)) as taken:
                    address = f"127.0.0.1:{taken.getsockname()[1]}"
                    broken = tmp_path / "broken.yaml"
                    broken.write_text(json.dumps({**json.loads(file.read_text()), "admin": {"listen": address}}))
                    failed = await asyncio.create_subprocess_exec(
                        *(sys.executable, "-m", "sidecar", "run", "--config", str(broken), "--hand-over", str(place)),
                        stderr=asyncio.subprocess.PIPE,
                    )
                    _, told = await failed.communicate()
                await callers.until(50)
                still_there = first.process.returncode is None and not first.lines("drain")
            first.process.send_signal(signal.SIGTERM)
            code = await first.ended()

    assert failed.returncode == 2
    assert b"the port is in use" in told
    assert still_there
    assert callers.failures == []
    assert code == 0


async def test_sockets_of_systemd_outlive_a_restart(tmp_path: Path) -> None:
    async with Origin(answering_soon) as origin:
        file, egress, _ = write_file(tmp_path, origin)
        with socket.create_server(("127.0.0.1", egress), backlog=128) as held:
            async with AsyncExitStack() as processes:
                names = iter(("log0", "log1", "log2"))
                before = await processes.enter_async_context(starting_activated(file, held, name=next(names)))
                codes = []
                async with calling(lambda: [("127.0.0.1", egress)]) as callers:
                    for name in names:
                        await callers.until(100)
                        before.process.send_signal(signal.SIGTERM)
                        codes.append(await before.ended())
                        before = await processes.enter_async_context(starting_activated(file, held, name=name))
                    await callers.until(100)

    assert callers.failures == []
    assert codes == [0, 0]


@asynccontextmanager
async def starting_activated(file: Path, held: socket.socket, *, name: str) -> AsyncIterator[Generation]:
    """As systemd does it: descriptor 3, and variables with the process's own id."""
    code = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()));"
        "os.execv(sys.executable, [sys.executable, '-m', 'sidecar', 'run', '--config', sys.argv[2]])"
    )
    log = file.parent / name
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code, str(held.fileno()), str(file)), stderr=stderr, pass_fds=[held.fileno()]
        )
    generation = Generation(process, log)
    try:
        await generation.started()
        yield generation
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
