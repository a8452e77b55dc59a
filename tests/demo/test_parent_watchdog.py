"""Whatever becomes of the demo, its sidecar ends with it."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from sidecar.demo.stage import free_ports, is_free
from tests.fakes.waiting import until

PATIENCE = 20.0
STAGED = """
import asyncio, sys
from pathlib import Path
from sidecar.demo.stage import Stage
async def main():
    stage = Stage(Path(sys.argv[1]))
    await stage.child("the dependency", "dependency", ["--seed", "1"], lambda _: None)
    await stage.sidecar(Path(sys.argv[1]) / "sidecar.yaml", int(sys.argv[2]))
    print("up", flush=True)
    await asyncio.sleep(3600)
asyncio.run(main())
"""


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
async def test_a_sidecar_ends_when_its_demo_is_killed(tmp_path: Path, by: signal.Signals) -> None:
    admin, egress = free_ports(2)
    document = {
        "service": "checkout",
        "admin": {"listen": f"127.0.0.1:{admin}"},
        "egress": {"listen": [f"127.0.0.1:{egress}"]},
        "destinations": {"payments": {"endpoints": ["http://127.0.0.1:9"]}},
    }
    (tmp_path / "sidecar.yaml").write_text(json.dumps(document))
    demo = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STAGED, str(tmp_path), str(admin), stdout=asyncio.subprocess.PIPE
    )
    assert demo.stdout is not None
    async with asyncio.timeout(PATIENCE):
        assert await demo.stdout.readline() == b"up\n"
        served = not is_free(admin)

        demo.send_signal(by)
        await demo.wait()

        await until(lambda: is_free(admin) and is_free(egress))
        await until(  # not killed: drained
            lambda: '"event":"stop"' in (tmp_path / "sidecar.log").read_text().replace(" ", "")
        )
    assert served
