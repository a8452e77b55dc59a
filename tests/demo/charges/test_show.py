"""How it refuses to begin; the parts have tests of their own, the whole has tests/acceptance/test_charges_demo.py."""

import socket
from pathlib import Path

import pytest
from rich.console import Console

from sidecar.demo.charges.play import FAST_CHARGES
from sidecar.demo.charges.show import ChargesShow
from sidecar.demo.stage import Stage, StageError


def show_of(folder: Path, admin_port: int | None = None) -> ChargesShow:
    return ChargesShow(Console(quiet=True), FAST_CHARGES, Stage(folder), seed=1, admin_port=admin_port)


async def test_an_admin_port_that_is_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(StageError, match=f"^--admin-port: 127.0.0.1:{port} is in use$"):
            await show_of(tmp_path, port).play(tmp_path)


async def test_there_is_nothing_to_keep_before_the_play(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="before the play"):
        await show_of(tmp_path).keep()
