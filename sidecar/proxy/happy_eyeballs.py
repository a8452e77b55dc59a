"""Happy eyeballs (RFC 8305): one connection to the first of a host's addresses that takes it."""

import socket
from asyncio import AbstractEventLoop
from collections.abc import Sequence
from typing import Final

import aiohappyeyeballs
from aiohappyeyeballs import AddrInfoType

from sidecar.proxy.egress_guard import EgressGuard

STAGGER_SECONDS: Final = 0.25
"""Between the first attempt and the next address's: the connection attempt delay of RFC 8305 §5."""
MAX_RACE: Final = 4
"""Addresses tried for one connection."""


async def connect_first(
    addresses: Sequence[AddrInfoType], guard: EgressGuard, loop: AbstractEventLoop
) -> socket.socket:
    """A socket connected to the first of `addresses` that answers, tried in their order, one every STAGGER_SECONDS.

    Raises OSError when none does, and Misdirected when `guard` bars one of them.
    """
    race = list(addresses[:MAX_RACE])
    for *_, address in race:
        guard.check(str(address[0]), int(address[1]))
    delay = STAGGER_SECONDS if len(race) > 1 else None
    sock = await aiohappyeyeballs.start_connection(race, happy_eyeballs_delay=delay, loop=loop)
    try:
        guard.check_connected(sock)
    except BaseException:
        sock.close()
        raise
    return sock
