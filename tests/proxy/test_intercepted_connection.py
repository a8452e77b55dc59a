"""What is redirected here on its way to somebody else; the kernel's word about where it was going is made up."""

import asyncio
import contextlib
import os
from collections.abc import Callable

import pytest

from sidecar.net import Address
from sidecar.proxy import intercepted_connection
from tests.fakes.house import House, house
from tests.fakes.origin import Origin, replying, response

Redirect = Callable[[House, int], None]


@pytest.fixture
def redirect(monkeypatch: pytest.MonkeyPatch) -> Redirect:
    """Let what comes in on the shared port have been on its way to a port of this machine."""

    def turn(proxy: House, port: int) -> None:
        monkeypatch.setattr(intercepted_connection, "original_destination", lambda _: Address("127.0.0.1", port))
        monkeypatch.setattr(intercepted_connection, "owner_of", lambda *_: None)
        proxy.egress.transparent = True

    return turn


async def test_a_host_that_a_destination_has_is_governed_wherever_it_was_going(redirect: Redirect) -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        redirect(proxy, 1)
        answer = await proxy.send(b"GET / HTTP/1.1\r\nHost: payments\r\n\r\n", egress=True)
        intercepted = dict(proxy.context.intercepted)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"x-sidecar-attempts: 1" in answer
    assert proxy.tally.requests_total == 1
    assert intercepted["http"] == 1


async def test_the_address_of_a_destination_is_governed_whatever_the_host(redirect: Redirect) -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        redirect(proxy, origin.port)
        await proxy.send(b"GET / HTTP/1.1\r\nHost: alias.example\r\n\r\n", egress=True)
        await proxy.send(b"GET / HTTP/1.0\r\n\r\n", egress=True, until_close=True)

    assert proxy.tally.requests_total == 2
    assert origin.requests[0].header("host") == "alias.example"


async def test_all_else_goes_where_it_was_going_as_unlisted(redirect: Redirect) -> None:
    async with Origin(replying(response(200))) as origin, house([1]) as proxy:
        redirect(proxy, origin.port)
        answer = await proxy.send(b"GET / HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n", egress=True)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert [route.name for route in proxy.unlisted.routes] == ["unlisted"]
    assert origin.requests[0].header("host") == "elsewhere.example"


async def test_all_else_is_refused_where_unlisted_hosts_are(redirect: Redirect) -> None:
    async with Origin(replying(response(200))) as origin, house([1], forward_unlisted=False) as proxy:
        redirect(proxy, origin.port)
        answer = await proxy.send(b"GET / HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n", egress=True)

    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b'"reason":"unlisted"' in answer
    assert origin.requests == []


async def test_the_same_head_on_two_connections_goes_where_each_was_going(redirect: Redirect) -> None:
    head = b"GET / HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n"
    async with Origin(replying(response(200))) as one, Origin(replying(response(200))) as two, house([1]) as proxy:
        for origin in (one, two, one):
            redirect(proxy, origin.port)
            await proxy.send(head, egress=True)

    assert (len(one.requests), len(two.requests)) == (2, 1)


async def upper_case(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 ready\r\n")
    while data := await reader.read(100):
        writer.write(data.upper())
    writer.close()


@pytest.mark.parametrize(
    ("early", "kind"),
    [
        (b"\x16\x03\x01 hello", "tls"),
        (b"PRI * HTTP/2.0\r\n\r\nsm\r\n\r\n", "opaque"),
        (b"CONNECT a:1 HTTP/1.1\r\n\r\n", "opaque"),
        (b"*1\r\n$4\r\nping\r\n", "opaque"),
        (b"", "silent"),
    ],
)
async def test_what_is_not_http_is_tunnelled_to_where_it_was_going_and_counted(
    redirect: Redirect, monkeypatch: pytest.MonkeyPatch, early: bytes, kind: str
) -> None:
    monkeypatch.setattr(intercepted_connection, "SILENCE_SECONDS", 0.02)
    server = await asyncio.start_server(upper_case, "127.0.0.1", 0)
    async with house([1]) as proxy:
        redirect(proxy, server.sockets[0].getsockname()[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.egress.address.port)
        writer.write(early)
        greeting = await reader.readline()
        writer.write(b"later")
        echoed = await reader.readexactly(len(early) + 5)
        writer.close()
        while proxy.context.busy:
            await asyncio.sleep(0.005)
        counts = (proxy.context.tunnels, proxy.context.intercepted[kind], proxy.context.connections)
    server.close()

    assert greeting == b"220 ready\r\n"
    assert echoed == early.upper() + b"LATER"
    assert counts == (1, 1, 0)


async def test_a_request_line_in_pieces_is_waited_for(redirect: Redirect) -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        redirect(proxy, origin.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.egress.address.port)
        writer.write(b"GE")
        await asyncio.sleep(0)
        writer.write(b"T / HTTP/1.1\r\nHost: payments\r\n\r\n")
        line = await reader.readline()
        writer.close()

    assert line.startswith(b"HTTP/1.1 200 ")


async def test_no_tunnel_is_opened_where_tunnels_are_refused(redirect: Redirect) -> None:
    async with Origin(replying(response(200))) as origin, house([1], connect=False) as proxy:
        redirect(proxy, origin.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.egress.address.port)
        writer.write(b"\x16\x03\x01")
        with contextlib.suppress(ConnectionError):  # a reset, as a caller that is not let through gets it
            assert await reader.read() == b""
        writer.close()
        intercepted = dict(proxy.context.intercepted)

    assert intercepted["refused"] == 1
    assert origin.connections == 0


async def test_a_tunnel_to_a_destination_is_refused_where_governance_may_not_be_passed(redirect: Redirect) -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port], tunnel_governed=False) as proxy:
        redirect(proxy, origin.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.egress.address.port)
        writer.write(b"\x16\x03\x01")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()

    assert proxy.context.intercepted["refused"] == 1
    assert origin.connections == 0


async def test_what_nothing_redirected_is_refused_as_a_loop() -> None:
    async with house([1]) as proxy:
        proxy.egress.transparent = True
        answer = await proxy.send(b"GET / HTTP/1.1\r\nHost: payments\r\n\r\n", egress=True, until_close=True)

    assert answer.startswith(b"HTTP/1.1 508 ")
    assert b"nothing redirected it" in answer
    assert proxy.context.intercepted["loop"] == 1


async def test_the_sidecars_own_connections_never_come_back_to_it(
    redirect: Redirect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house([1]) as proxy:
        redirect(proxy, 1)
        monkeypatch.setattr(intercepted_connection, "owner_of", lambda *_: os.geteuid())
        answer = await proxy.send(b"GET / HTTP/1.1\r\nHost: payments\r\n\r\n", egress=True, until_close=True)

    assert answer.startswith(b"HTTP/1.1 508 ")
    assert b"do not leave out uid %d" % os.geteuid() in answer


async def test_connections_that_say_nothing_count_towards_the_limit_and_are_broken_at_the_end(
    redirect: Redirect,
) -> None:
    async with house([1]) as proxy:
        redirect(proxy, 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.egress.address.port)
        while not proxy.context.connections:
            await asyncio.sleep(0.005)
    ended = await reader.read()
    writer.close()

    assert ended == b""
    assert proxy.context.connections == 0
