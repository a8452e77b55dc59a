import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from sidecar.demo.stage import Child, Stage, StageError, free_ports, is_free


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    await stage.close()


def deaf(_: Mapping[str, object]) -> None:
    pass


async def test_a_child_is_ready_when_it_says_so(stage: Stage) -> None:
    child = await stage.child("the dependency", "dependency", ["--seed", "1"], deaf)

    port = child.ready.result()["port"]

    assert not is_free(int(str(port)))
    assert child.process.returncode is None


async def test_what_a_child_counts_is_heard(stage: Stage) -> None:
    heard: asyncio.Future[Mapping[str, object]] = asyncio.get_running_loop().create_future()
    await stage.child("the dependency", "dependency", ["--seed", "1"], lambda m: heard.done() or heard.set_result(m))

    message = await asyncio.wait_for(heard, 10.0)

    assert message["phase"] == "healthy"
    assert message["waiting"] == 0


async def test_a_child_that_can_not_start_is_one_line_with_its_last_words(stage: Stage) -> None:
    with pytest.raises(StageError, match=r"^the dependency ended with code 2: .*--seed$"):
        await stage.child("the dependency", "dependency", [], deaf)


async def test_a_child_that_dies_is_noticed(stage: Stage) -> None:
    child = await stage.child("the dependency", "dependency", ["--seed", "1"], deaf)

    child.process.kill()
    await asyncio.wait({child.listening})

    with pytest.raises(StageError, match="the dependency ended with code -9"):
        stage.check()


async def test_closing_ends_every_child(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    children: list[Child] = [await stage.child("a child", "dependency", ["--seed", "1"], deaf) for _ in range(2)]

    await stage.close()

    assert [child.process.returncode for child in children] == [0, 0]


async def test_a_child_that_is_told_to_end_is_not_missed(stage: Stage) -> None:
    child = await stage.child("the dependency", "dependency", ["--seed", "1"], deaf)

    await stage.end(child)

    stage.check()
    assert child.process.returncode == 0


async def test_a_sidecar_that_ends_at_once_is_one_line_with_its_last_words(stage: Stage, tmp_path: Path) -> None:
    (admin,) = free_ports(1)

    with pytest.raises(StageError, match=r"^the sidecar ended with code 2: .*nowhere\.yaml"):
        await stage.sidecar(tmp_path / "nowhere.yaml", admin)


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(20)

    assert len(set(ports)) == 20
    assert all(map(is_free, ports))


def test_a_port_somebody_listens_on_is_not_free() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        assert not is_free(taken.getsockname()[1])
