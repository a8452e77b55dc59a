"""Bytes both ways: CONNECT, and what follows a 101."""

import asyncio

import pytest

from tests.fakes.house import house
from tests.fakes.origin import Origin, Request, replying, response


async def test_connect_joins_both_sides_until_one_ends() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data.upper())
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with house([1]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.egress.address.port)
        writer.write(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\nearly" % port)
        head = await reader.readuntil(b"\r\n\r\n")
        early = await reader.readexactly(5)
        writer.write(b"later")
        later = await reader.readexactly(5)
        writer.close()
        while proxy.context.busy:
            await asyncio.sleep(0.005)
        tunnels = proxy.context.tunnels
    server.close()

    assert head == b"HTTP/1.1 200 Connection established\r\n\r\n"
    assert (early, later) == (b"EARLY", b"LATER")
    assert tunnels == 1


async def test_connect_is_refused_where_policy_says_so_and_never_leads_back_here() -> None:
    async with house([1], connect=False) as proxy:
        refused = await proxy.send(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", egress=True, until_close=True)
    async with house([1]) as proxy:
        here = b"127.0.0.1:%d" % proxy.egress.address.port
        loop = await proxy.send(b"CONNECT " + here + b" HTTP/1.1\r\nHost: a\r\n\r\n", egress=True, until_close=True)

    assert refused.startswith(b"HTTP/1.1 405 ")
    assert loop.startswith(b"HTTP/1.1 508 ")


@pytest.mark.parametrize("host", [b"payments:80", b"127.0.0.1:%d", b"localhost:%d"])
async def test_connect_to_what_is_governed_is_refused_by_name_and_by_address_where_policy_says_so(host: bytes) -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port], tunnel_governed=False) as proxy:
        target = host % origin.port if b"%" in host else host
        answer = await proxy.send(b"CONNECT " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n", egress=True, until_close=True)

    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b'"reason":"connect_governed"' in answer
    assert b"calls of payments are governed" in answer
    assert proxy.context.misdirected["connect_governed"] == 1
    assert origin.connections == 0


async def test_connect_to_anything_else_is_tunnelled_all_the_same() -> None:
    async with Origin(replying(response(200))) as origin, house([1], tunnel_governed=False) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.egress.address.port)
        writer.write(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % origin.port)
        line = await reader.readline()
        writer.close()

    assert line == b"HTTP/1.1 200 Connection established\r\n"


async def test_a_connect_waits_for_no_name_when_many_are_looked_up_in_vain() -> None:
    async with house([1]) as proxy:
        proxy.context.dns_lookup_limit.places = 0
        refused = await proxy.send(b"CONNECT somewhere:443 HTTP/1.1\r\nHost: a\r\n\r\n", egress=True, until_close=True)
        unlisted = await proxy.send(b"GET http://somewhere/ HTTP/1.1\r\nHost: a\r\n\r\n", egress=True)

    assert refused.startswith(b"HTTP/1.1 502 ")
    assert unlisted.startswith(b"HTTP/1.1 502 ")
    assert proxy.context.dns_lookup_limit.places == 0


async def test_an_upgrade_that_is_granted_becomes_a_tunnel() -> None:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        assert request.header("upgrade") == "websocket"
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b" again")
        writer.close()

    async with Origin(answer) as origin, house([origin.port]) as proxy:
        got = await proxy.send(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", until_close=True
        )

    assert got.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert got.endswith(b"hello again")


async def test_an_upgrade_that_is_declined_is_an_ordinary_answer() -> None:
    async with Origin(replying(response(200, b"no"))) as origin, house([origin.port]) as proxy:
        got = await proxy.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")

    assert got.endswith(b"no")


async def test_only_websocket_is_asked_for_again() -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        await proxy.send(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            b"Upgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n"
        )

    assert origin.requests[0].header("upgrade") is None
    assert origin.requests[0].header("connection") is None


async def test_a_tunnel_counts_as_a_connection_until_it_ends() -> None:
    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with house([1]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.egress.address.port)
        writer.write(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % port)
        await reader.readuntil(b"\r\n\r\n")
        during = (proxy.context.connections, len(proxy.egress._downstreams))
        writer.transport.abort()
        while proxy.context.busy:
            await asyncio.sleep(0.005)
        after = (proxy.context.connections, len(proxy.egress._downstreams))
    server.close()

    assert during == (1, 1)
    assert after == (0, 0)


async def test_a_tunnel_that_is_closed_ends_in_both_directions_after_what_was_read() -> None:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"welcome")
        heard.set_result(await reader.read())
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with house([1]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.egress.address.port)
        writer.write(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % port)
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(7)
        writer.write(b"parting")
        await asyncio.sleep(0.05)

        proxy.egress.close_tunnels()

        assert await asyncio.wait_for(reader.read(), 10) == b""
        assert await asyncio.wait_for(heard, 10) == b"parting"
        writer.close()
        assert proxy.context.busy == 0
    server.close()


async def test_an_upgraded_connection_is_no_longer_the_pools() -> None:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        await writer.drain()
        writer.close()

    async with Origin(answer) as origin, house([origin.port]) as proxy:
        await proxy.send(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", until_close=True
        )
        counts = proxy.route.pool.counts()

    assert counts == (0, 0)
