"""Listeners: everything on one, probes alone on another, and one clear line when a port is taken."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from sidecar.admin.server import AdminServer
from sidecar.connection_limit import MAX_CONNECTIONS
from sidecar.net import Address
from sidecar.proxy.listener import bind
from tests.admin.states import SetState
from tests.admin.tokens import Told, known_token
from tests.fakes.waiting import turn

FREE = Address("127.0.0.1", 0)


@asynccontextmanager
async def serving(state: SetState | None = None) -> AsyncIterator[AdminServer]:
    server = AdminServer(state or SetState(), lambda: 0.0, known_token(), Told())
    try:
        yield server
    finally:
        await server.stop()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def answer(address: Address, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(-1), 10)
    finally:
        writer.close()


async def status_of(address: Address, path: str, method: str = "GET") -> int:
    head = f"{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    return int((await answer(address, head.encode())).split(b" ", 2)[1])


async def test_everything_is_served_where_it_was_asked_to_listen() -> None:
    async with serving() as server:
        address = await server.start(bind(FREE))

        statuses = [
            await status_of(address, path)
            for path in ("/", "/livez", "/readyz", "/metrics", "/policy", "/destinations")
        ]

    assert address.host == "127.0.0.1"
    assert address.port > 0
    assert statuses == [200] * 6


async def test_the_second_listener_has_probes_and_metrics_and_nothing_else() -> None:
    state = SetState()
    async with serving(state) as server:
        await server.start(bind(FREE))
        probes = await server.start(bind(FREE), probes_only=True)

        served = [await status_of(probes, path) for path in ("/livez", "/readyz", "/metrics")]
        hidden = [await status_of(probes, path) for path in ("/", "/policy", "/destinations")]
        reload = await status_of(probes, "/policy/reload", "POST")

    assert served == [200] * 3
    assert hidden == [404] * 3
    assert reload == 404
    assert state.reload_count == 0


async def test_it_listens_on_ipv6() -> None:
    async with serving() as server:
        address = await server.start(bind(Address("::1", 0)))

        assert await status_of(address, "/livez") == 200


async def test_after_the_stop_nothing_listens() -> None:
    async with serving() as server:
        address = await server.start(bind(FREE))
        await server.stop()

        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(address.host, address.port)


@pytest.mark.parametrize("probes_only", [False, True], ids=["admin", "metrics"])
@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHo"], ids=["idle", "half-sent"])
async def test_a_thousand_waiting_connections_hold_few_files_and_a_probe_gets_through(
    sent: bytes, *, probes_only: bool
) -> None:
    async with serving() as server, AsyncExitStack() as crowd:
        address = await server.start(bind(FREE), probes_only=probes_only)
        before = open_files()
        held = []
        for _ in range(450):
            sock = socket.create_connection((address.host, address.port))
            crowd.callback(sock.close)
            sock.sendall(sent)
            held.append(sock)
            await turn()

        statuses = [await status_of(address, "/livez") for _ in range(3)]
        files = open_files() - before - len(held)

    assert statuses == [200] * 3
    assert files <= MAX_CONNECTIONS


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["huge path", "huge header", "tls hello", "two lengths"],
)
async def test_nonsense_is_a_400_and_the_next_request_is_served(request_bytes: bytes) -> None:
    async with serving() as server:
        address = await server.start(bind(FREE))

        refused = await answer(address, request_bytes)
        after = await status_of(address, "/livez")

    assert refused.split(b" ", 2)[1] == b"400"
    assert after == 200


async def test_http_1_0_without_a_host_is_served() -> None:
    async with serving() as server:
        address = await server.start(bind(FREE))

        assert (await answer(address, b"GET /livez HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.0 200")


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\0\1\2\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
)
async def test_bytes_that_are_no_http_are_a_400_and_no_event(nonsense: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with serving() as server:
        address = await server.start(bind(FREE))

        got = await answer(address, nonsense)

    assert got.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert [record for record in caplog.records if record.exc_info] == []
