"""A listening socket and its limit."""

import asyncio
import gc
import warnings
from dataclasses import replace

import pytest

from sidecar.governance.documents.limits import WireLimits
from sidecar.net import Address
from sidecar.proxy.listener import PortTaken, bind
from tests.fakes.house import house
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
