"""The start and the end of a sidecar, in the test's own loop."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from sidecar.net import Address
from tests.app.processes import running, snapshot_for
from tests.fakes.origin import Origin, replying, response


async def test_a_taken_port_frees_all_others_and_is_named(tmp_path: Path) -> None:
    async with Origin(replying(response(200))) as origin:
        snapshot = replace(snapshot_for(origin.port), admin=Address("127.0.0.1", origin.port))
        with pytest.raises(OSError, match=str(origin.port)):
            async with running(snapshot, tmp_path):
                pass
