"""Which endpoint, and which connection."""

import asyncio
import ssl

import pytest

from sidecar.governance.address import Endpoint
from sidecar.proxy.plane import Plane
from sidecar.proxy.pool import Pool
from sidecar.proxy.tls import ClientTls
from tests.fakes.house import Notes, house, iter_rand, no_tls
from tests.fakes.origin import Origin, replying, response

GET = b"GET / HTTP/1.1\r\nHost: payments\r\n\r\n"


async def pool_of(*ports: int) -> Pool:
    plane = Plane(asyncio.get_running_loop(), Notes())
    return Pool(plane, [Endpoint("http", "127.0.0.1", port) for port in ports], iter_rand(), no_tls)


async def test_the_less_busy_of_two_is_chosen() -> None:
    pool = await pool_of(1, 2)
    pool.stations[0].in_flight = 5

    chosen = {pool.choose((), 0.0).label for _ in range(20)}

    assert chosen == {"127.0.0.1:2"}


async def test_a_retry_prefers_an_endpoint_that_was_not_just_tried() -> None:
    pool = await pool_of(1, 2)

    assert pool.choose((pool.stations[0],), 0.0) is pool.stations[1]


async def test_an_endpoint_that_can_not_be_reached_is_left_alone_longer_each_time() -> None:
    pool = await pool_of(1, 2)
    station = pool.stations[0]

    station.failed(100.0)
    first = station.down_until
    station.failed(first)
    second = station.down_until

    assert first == 101.0
    assert second - first == 2.0
    assert pool.choose((), 100.5) is pool.stations[1]
    station.answered()
    assert station.down_until == 0.0


async def test_when_all_endpoints_are_down_one_is_tried_nevertheless() -> None:
    pool = await pool_of(1, 2)
    for station in pool.stations:
        station.failed(100.0)

    assert pool.choose((), 100.5) in pool.stations


async def test_endpoints_that_stay_over_a_reload_keep_their_state() -> None:
    pool = await pool_of(1, 2)
    kept = pool.stations[1]

    pool.adopt([Endpoint("http", "127.0.0.1", 2), Endpoint("http", "127.0.0.1", 3)])

    assert pool.stations[0] is kept
    assert [station.label for station in pool.stations] == ["127.0.0.1:2", "127.0.0.1:3"]


async def test_one_dead_endpoint_of_three_costs_no_failed_read() -> None:
    async with Origin(replying(response(200))) as one, Origin(replying(response(200))) as two:
        async with Origin(replying(response(200))) as gone:
            dead = gone.port
        async with house([one.port, dead, two.port]) as home:
            answers = [await home.send(GET) for _ in range(30)]

    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)


async def test_an_endpoint_that_turns_to_https_over_a_reload_is_never_spoken_to_in_clear() -> None:
    context = ssl.create_default_context()
    plane = Plane(asyncio.get_running_loop(), Notes())
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(5))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool = Pool(plane, [Endpoint("http", "127.0.0.1", port)], iter_rand(), lambda: ClientTls(context))
    pool.adopt([Endpoint("https", "127.0.0.1", port)])
    with pytest.raises((OSError, ssl.SSLError)):
        await pool.stations[0].connect()
    server.close()

    assert heard[0][:1] == b"\x16"  # a TLS handshake record
