"""What all connections share."""

import asyncio

import pytest

from sidecar.proxy.context import ProxyContext
from tests.fakes.house import Notes


@pytest.mark.parametrize(
    ("own", "host", "port", "ours"),
    [
        (("127.0.0.1", 16001), "127.0.0.1", 16001, True),
        (("127.0.0.1", 16001), "localhost", 16001, True),
        (("127.0.0.1", 16001), "127.0.0.1", 16002, False),
        (("127.0.0.1", 16001), "payments", 16001, False),
        (("0.0.0.0", 16006), "127.0.0.1", 16006, True),
        (("::1", 16001), "::1", 16001, True),
        (("127.0.0.1", 16001), "0.0.0.0", 16001, True),
        (("::1", 16001), "::", 16001, True),
        (("127.0.0.1", 16001), "::ffff:127.0.0.1", 16001, True),
        (("127.0.0.1", 16001), "127.0.0.2", 16001, False),
    ],
)
async def test_an_address_of_our_own_is_known(own: tuple[str, int], host: str, port: int, *, ours: bool) -> None:
    context = ProxyContext(asyncio.get_running_loop(), Notes())
    context.own_addresses = frozenset({own})

    assert context.own(host, port) is ours
