"""A listening socket and its limit."""

import asyncio
import gc
import socket
import warnings

import pytest
from msgspec.structs import replace

from sidecar.governance.documents.limits import WireLimits
from sidecar.net import Address
from sidecar.proxy.listener import PortTaken, bind
from tests.fakes.house import house
from tests.fakes.loops import on_uvloop
from tests.fakes.origin import Origin, replying, response

GET = b"GET / HTTP/1.1\r\nHost: payments\r\n\r\n"


def test_an_address_in_use_is_named() -> None:
    first = bind(Address("127.0.0.1", 0))
    port = first.getsockname()[1]

    with pytest.raises(PortTaken, match="in use") as caught:
        bind(Address("127.0.0.1", port))
    first.close()

    assert f"127.0.0.1:{port}" in str(caught.value)


async def test_connections_over_the_limit_are_served_once_another_has_ended() -> None:
    limits = replace(WireLimits(), connections=2)
    async with Origin(replying(response(200))) as origin, house([origin.port], limits=limits) as proxy:
        port = proxy.own.address.port
        first = await asyncio.open_connection("127.0.0.1", port)
        second = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(0.05)
        third = asyncio.create_task(proxy.send(GET))
        await asyncio.sleep(0.1)
        served_early = third.done()
        first[1].close()
        answer = await asyncio.wait_for(third, 5)
        second[1].close()

    assert not served_early
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_closed_listener_leaves_no_socket_behind() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
            await proxy.send(GET)
        gc.collect()


@pytest.mark.parametrize("roomy", [True, False])
@on_uvloop
async def test_a_flood_at_once_gets_no_more_than_the_limit_when_the_limit_is_near(*, roomy: bool) -> None:
    limits = replace(WireLimits(), connections=10_000 if roomy else 2100)
    async with Origin(replying(response(200))) as origin, house([origin.port], limits=limits) as proxy:
        address = ("127.0.0.1", proxy.own.address.port)
        callers = [socket.create_connection(address)]
        while proxy.context.connections < 1:
            await asyncio.sleep(0.01)
        proxy.context.max_connections = 10_000 if roomy else 20
        callers.append(socket.create_connection(address))  # with this one the listener notices that there is less room
        while proxy.context.connections < 2:
            await asyncio.sleep(0.01)
        callers += [socket.create_connection(address) for _ in range(50)]
        while proxy.context.connections < (52 if roomy else 20):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        most = proxy.context.connections
        answers = []
        for caller in callers:
            caller.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        for caller in callers:
            answers.append(await asyncio.to_thread(caller.recv, 1000))
            caller.close()

    assert most == (52 if roomy else 20)
    assert [answer[:13] for answer in answers] == [b"HTTP/1.1 200 "] * 52


async def test_a_listener_that_accepts_no_more_finishes_what_it_has() -> None:
    async with Origin(replying(response(200, b"done"))) as origin, house([origin.port]) as proxy:
        port = proxy.own.address.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await reader.readuntil(b"done")

        proxy.own.stop_accepting()

        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        assert await reader.readuntil(b"done")
        writer.close()


async def connected(address: tuple[str, int], *, asks: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that is kept alive after one answer, or on which a request has begun."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(GET if asks else GET[:-2])
    if asks:
        await reader.readuntil(b"ok")
    return reader, writer


async def test_a_newcomer_at_the_limit_gets_the_place_of_the_one_that_is_idle_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sidecar.proxy.listener._IDLE_SECONDS", 0.0)
    limits = replace(WireLimits(), connections=3)
    async with Origin(replying(response(200))) as origin, house([origin.port], limits=limits) as proxy:
        address = ("127.0.0.1", proxy.own.address.port)
        busy = await connected(address, asks=False)
        longest = await connected(address, asks=True)
        await asyncio.sleep(0.01)
        recent = await connected(address, asks=True)

        answer = await asyncio.wait_for(proxy.send(GET), 10)

        assert answer.startswith(b"HTTP/1.1 200 ")
        assert await asyncio.wait_for(longest[0].read(), 10) == b""
        for reader, writer in (busy, recent):
            writer.write(b"\r\n" if reader is busy[0] else GET)
            assert await asyncio.wait_for(reader.readuntil(b"ok"), 10)
        for _, writer in (busy, longest, recent):
            writer.close()


async def test_where_all_are_busy_a_newcomer_waits_until_one_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.proxy.listener._IDLE_SECONDS", 0.0)
    limits = replace(WireLimits(), connections=1)
    async with Origin(replying(response(200))) as origin, house([origin.port], limits=limits) as proxy:
        reader, writer = await connected(("127.0.0.1", proxy.own.address.port), asks=False)
        newcomer = asyncio.create_task(proxy.send(GET))
        await asyncio.sleep(0.15)
        early = newcomer.done()
        writer.write(b"\r\n")
        await reader.readuntil(b"ok")

        answer = await asyncio.wait_for(newcomer, 10)
        writer.close()

    assert not early
    assert answer.startswith(b"HTTP/1.1 200 ")
