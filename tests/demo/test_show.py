import io
import socket
from pathlib import Path

import pytest
from rich.console import Console

from sidecar.demo.script import FAST
from sidecar.demo.show import Show
from sidecar.demo.stage import Stage, StageError


def show(folder: Path, admin_port: int | None) -> Show:
    return Show(Console(file=io.StringIO()), FAST, Stage(folder), fast=True, seed=1, admin_port=admin_port)


async def test_an_admin_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(StageError, match=f"^--admin-port: 127.0.0.1:{port} is in use$"):
            await show(tmp_path, port).play(tmp_path)


async def test_there_is_nothing_to_keep_before_the_play(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="nothing to keep"):
        await show(tmp_path, None).keep()
