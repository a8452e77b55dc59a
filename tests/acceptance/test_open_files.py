"""A sidecar that may open few files, in a flood of callers."""

import socket
import time
from pathlib import Path

from tests.fakes.origin import response
from tests.fakes.peer import peer, read_head
from tests.fakes.running import COMMAND, running

FILES = 256
CALLERS = 64
"""Half of what is not reserved of them."""
FEW = ("sh", "-c", f'ulimit -n {FILES} && exec "$0" "$@"', *COMMAND)
GET = b"GET / HTTP/1.1\r\nHost: payments\r\n\r\n"


def slow(sock: socket.socket) -> None:
    while read_head(sock):
        time.sleep(0.2)
        sock.sendall(response(200))


def test_a_flood_of_callers_leaves_files_for_requests_and_for_the_admin_plane(tmp_path: Path) -> None:
    with (
        peer(slow) as port,
        running(tmp_path, {"payments": {"endpoints": [f"http://127.0.0.1:{port}"]}}, command=FEW) as proxy,
    ):
        address = proxy.url.removeprefix("http://").partition(":")
        callers = [socket.create_connection((address[0], int(address[2])), 10) for _ in range(2 * FILES)]
        for caller in callers[:CALLERS]:
            caller.sendall(GET)
        answers = [caller.recv(1000) for caller in callers[:CALLERS]]
        ready = proxy.get("/readyz")
        for caller in callers[:-1]:
            caller.close()
        callers[-1].sendall(GET)
        last = callers[-1].recv(1000)
        callers[-1].close()
        metrics = proxy.get("/metrics")

    assert [answer[:13] for answer in answers] == [b"HTTP/1.1 200 "] * CALLERS
    assert ready
    assert last.startswith(b"HTTP/1.1 200 ")
    assert 'sidecar_breaker_transitions_total{destination="payments",to="open"} 0\n' in metrics
    assert 'sidecar_connect_failures_total{destination="payments",reason="connect_failure"} 0\n' in metrics
