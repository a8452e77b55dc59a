"""The race of RFC 8305, with a loop that notes where sockets are connected to, and connects none."""

import asyncio
import socket
from typing import Any, cast

import pytest

from sidecar.proxy.egress_guard import EgressGuard
from sidecar.proxy.happy_eyeballs import MAX_RACE, connect_first
from sidecar.wire.misdirected import Misdirected

HOSTS = [f"192.0.2.{number}" for number in range(1, MAX_RACE + 3)]
ADDRESSES = [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, 80)) for host in HOSTS]


class Loop:
    def __init__(self, answering: str = "") -> None:
        self.tried: list[str] = []
        self.sockets: list[socket.socket] = []
        self._answering = answering

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        self.tried.append(address[0])
        self.sockets.append(sock)
        if address[0] != self._answering:
            raise ConnectionRefusedError


class Guard(EgressGuard):
    def __init__(self, barred: str = "", *, connected: bool = True) -> None:
        super().__init__()
        self._barred = barred
        self._connected = connected

    def check(self, host: str, port: int) -> None:
        del port
        if host == self._barred:
            raise Misdirected(502, "address_refused", "barred")

    def check_connected(self, sock: socket.socket) -> None:
        del sock
        if not self._connected:
            raise Misdirected(508, "loop", "it is us")


async def connected(loop: Loop, guard: EgressGuard) -> socket.socket:
    return await connect_first(ADDRESSES, guard, cast("asyncio.AbstractEventLoop", loop))


async def test_the_first_address_that_answers_is_connected_to() -> None:
    loop = Loop(answering=HOSTS[2])

    with await connected(loop, Guard()) as sock:
        assert sock is loop.sockets[-1]

    assert loop.tried == HOSTS[:3]


async def test_a_host_of_many_addresses_is_given_up_after_a_few() -> None:
    loop = Loop()

    with pytest.raises(ConnectionRefusedError):
        await connected(loop, Guard())

    assert loop.tried == HOSTS[:MAX_RACE]


async def test_nothing_is_connected_to_where_one_of_the_addresses_is_barred() -> None:
    loop = Loop(answering=HOSTS[0])

    with pytest.raises(Misdirected):
        await connected(loop, Guard(HOSTS[1]))

    assert not loop.tried


async def test_a_connection_that_leads_back_here_is_closed() -> None:
    loop = Loop(answering=HOSTS[0])

    with pytest.raises(Misdirected):
        await connected(loop, Guard(connected=False))

    assert [sock.fileno() for sock in loop.sockets] == [-1]
