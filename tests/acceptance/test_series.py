"""What a caller can choose makes no series: ten thousand hosts and paths are one destination, to the real command."""

import asyncio
import re
from pathlib import Path

from tests.fakes.origin import Origin, replying, response
from tests.fakes.running import running

HOSTS = 10_000
CONNECTIONS = 20


def series_of(metrics: str) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in metrics.splitlines() if line.startswith("sidecar_")]
    return {name: float(value) for name, _, value in lines}


async def test_ten_thousand_hosts_and_paths_make_the_series_of_one_destination(tmp_path: Path) -> None:
    async with Origin(replying(response(200)), host="0.0.0.0") as origin:  # at every address of loopback
        with running(
            tmp_path,
            {"payments": {"endpoints": [f"http://127.0.0.1:{origin.port}"]}},
            {"defaults": {"retry": {"max_attempts": 1}}},
        ) as sidecar:
            host, _, number = sidecar.egress.removeprefix("http://").rpartition(":")
            await asyncio.to_thread(sidecar.get, "/metrics")
            before = series_of(await asyncio.to_thread(sidecar.get, "/metrics"))
            await asyncio.gather(*(call(host, int(number), origin.port, first) for first in range(CONNECTIONS)))
            after = series_of(await asyncio.to_thread(sidecar.get, "/metrics"))

    added = after.keys() - before.keys()
    # Past the sidecar is counted towards addresses that are known beforehand, which strangers' are not.
    each = [name for name in before if 'destination="payments"' in name and not name.startswith("sidecar_bypass_")]
    counted = [
        value for name, value in after.items() if re.match(r'sidecar_requests_total\{destination="unlisted"', name)
    ]
    assert sum(counted) == HOSTS
    assert added == {name.replace('"payments"', '"unlisted"') for name in each}
    assert before.keys() <= after.keys()
    assert after["sidecar_series_dropped_total"] == 0


async def call(egress_host: str, egress_port: int, port: int, first: int) -> None:
    """Every CONNECTIONS-th of the hosts, which are addresses of loopback."""
    reader, writer = await asyncio.open_connection(egress_host, egress_port)
    for number in range(first, HOSTS, CONNECTIONS):
        host = f"127.1.{number // 250}.{number % 250 + 1}:{port}"
        writer.write(f"GET http://{host}/path-{number} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length is not None
        await reader.readexactly(int(length[1]))
    writer.close()
