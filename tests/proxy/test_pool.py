"""Which endpoint, which of its addresses, and which connection."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from sidecar.engine.destination import OUTLIER_FAILURES, Destination
from sidecar.engine.policy import DestinationPolicy
from sidecar.governance.documents.limits import WireLimits
from sidecar.net import Endpoint
from sidecar.proxy.codecs import HTTP1
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.pool import PendingConnection, Pool, ResolvedAddress
from sidecar.proxy.stream import Stream
from sidecar.proxy.tls import ClientTls
from sidecar.proxy.upstream import Upstream
from tests.fakes.house import Notes, house, iter_rand, no_tls
from tests.fakes.loops import on_uvloop
from tests.fakes.names import BlackHole, NamingLoop
from tests.fakes.origin import Origin, replying, response
from tests.fakes.playbook import Stage

GET = b"GET / HTTP/1.1\r\nHost: payments\r\n\r\n"


class Forsaken:
    """Whoever has asked for a connection, and never gets one."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


async def pool_of(*ports: int) -> Pool:
    context = ProxyContext(asyncio.get_running_loop(), Notes())
    return Pool(context, [Endpoint("http", "127.0.0.1", port) for port in ports], iter_rand(), no_tls)


async def test_the_less_busy_of_two_is_chosen() -> None:
    pool = await pool_of(1, 2)
    pool.addresses[0].in_flight = 5

    chosen = {pool.choose((), 0.0).label for _ in range(20)}

    assert chosen == {"127.0.0.1:2"}


async def test_an_endpoint_that_lets_everybody_wait_for_a_connection_is_a_busy_one() -> None:
    hole = BlackHole("127.0.0.1")
    pool = await pool_of(hole.port, 2)
    waiting = [pool.connect(pool.addresses[0], Forsaken()) for _ in range(2)]

    chosen = {pool.choose((), 0.0).label for _ in range(20)}
    for pending in waiting:
        pending.cancel()
    await turns()
    hole.close()

    assert chosen == {"127.0.0.1:2"}
    assert pool.addresses[0].in_flight == 0


async def test_a_retry_prefers_an_endpoint_that_was_not_just_tried() -> None:
    pool = await pool_of(1, 2)

    assert pool.choose((pool.addresses[0],), 0.0) is pool.addresses[1]


async def test_an_endpoint_that_can_not_be_reached_is_left_alone_longer_each_time() -> None:
    pool = await pool_of(1, 2)
    address = pool.addresses[0]

    address.record_connect_failure(100.0)
    first = address.ejected_until
    address.record_connect_failure(first)
    second = address.ejected_until

    assert first == 101.0
    assert second - first == 2.0
    assert pool.choose((), 100.5) is pool.addresses[1]
    address.record_success(150.0)
    assert address.ejected_until == 0.0


async def test_an_endpoint_that_alone_fails_fast_is_left_alone_and_looked_at_with_one_request() -> None:
    pool = await pool_of(1, 2)
    destination = Destination("payments", DestinationPolicy(), lambda: 0.5, 0.0)
    bad, good = pool.addresses

    for _ in range(OUTLIER_FAILURES):
        bad.record_failure(destination, 100.0)
    ejected_until = bad.ejected_until
    bad.record_connection()
    bad.record_failure(destination, 101.0)
    again_until = bad.ejected_until

    assert ejected_until == 101.0
    assert again_until == 103.0
    assert pool.choose((), 102.0) is good
    bad.record_success(150.0)
    assert (bad.ejected_until, bad.consecutive_failures) == (0.0, 0)


async def test_an_endpoint_that_fails_like_all_others_is_not_left_alone() -> None:
    pool = await pool_of(1, 2)
    destination = Destination("payments", DestinationPolicy(), lambda: 0.5, 0.0)

    for _ in range(9):
        destination.breaker.failure(0, 100.0)
        pool.addresses[0].record_failure(destination, 100.0)

    assert pool.addresses[0].ejected_until == 0.0


async def test_one_endpoint_of_three_that_answers_503_soon_gets_one_request_at_a_time() -> None:
    async with Origin(replying(response(503))) as bad, Origin(replying(response(200))) as one:
        async with Origin(replying(response(200))) as two, house([one.port, bad.port, two.port]) as proxy:
            answers = [await proxy.send(GET) for _ in range(60)]

    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert len(bad.requests) <= OUTLIER_FAILURES + 1


async def test_when_all_endpoints_are_down_one_is_tried_nevertheless() -> None:
    pool = await pool_of(1, 2)
    for address in pool.addresses:
        address.record_connect_failure(100.0)

    assert pool.choose((), 100.5) in pool.addresses


async def test_where_none_is_up_all_are_forgiven_so_that_the_first_to_be_well_is_not_alone() -> None:
    pool = await pool_of(1, 2, 3)
    for address in pool.addresses:
        for again in range(5):
            address.record_connect_failure(100.0 + 40 * again)

    pool.choose((), 270.0)
    pool.addresses[0].record_success(150.0)

    assert {pool.choose((), 270.0).label for _ in range(40)} == {"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}
    pool.addresses[1].record_connect_failure(270.0)
    assert pool.addresses[1].ejected_until == 271.0


async def test_of_many_that_fail_together_the_first_has_told() -> None:
    pool = await pool_of(1, 2)

    for _ in range(20):
        pool.addresses[0].record_connect_failure(100.0)

    assert pool.addresses[0].ejected_until == 101.0


async def test_an_endpoint_that_answers_nothing_while_two_in_a_row_wait_is_left_alone_for_a_while() -> None:
    pool = await pool_of(1, 2)
    slow, good = pool.addresses

    slow.record_timeout(98.0, 100.0)
    once = slow.ejected_until
    slow.record_success(100.5)
    slow.record_timeout(100.6, 101.0)
    between = slow.ejected_until
    slow.record_timeout(100.7, 102.0)

    assert (once, between, slow.ejected_until) == (0.0, 0.0, 103.0)
    assert pool.choose((), 102.5) is good


async def test_an_endpoint_that_is_slow_and_answers_is_never_left_alone_for_it() -> None:
    pool = await pool_of(1, 2)
    slow = pool.addresses[0]

    for second in range(100, 200):
        slow.record_timeout(second - 2.0, second)
        slow.answered_at = second - 1.0

    assert slow.ejected_until == 0.0


async def test_endpoints_that_stay_over_a_reload_keep_their_state() -> None:
    pool = await pool_of(1, 2)
    kept = pool.addresses[1]

    pool.adopt([Endpoint("http", "127.0.0.1", 2), Endpoint("http", "127.0.0.1", 3)])

    assert pool.addresses[0] is kept
    assert [address.label for address in pool.addresses] == ["127.0.0.1:2", "127.0.0.1:3"]


async def test_one_dead_endpoint_of_three_costs_no_failed_read() -> None:
    async with Origin(replying(response(200))) as one, Origin(replying(response(200))) as two:
        async with Origin(replying(response(200))) as gone:
            dead = gone.port
        async with house([one.port, dead, two.port]) as proxy:
            answers = [await proxy.send(GET) for _ in range(30)]

    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)


async def test_an_endpoint_that_turns_to_https_over_a_reload_is_never_spoken_to_in_clear() -> None:
    tls = ClientTls(ssl.create_default_context())
    context = ProxyContext(asyncio.get_running_loop(), Notes())
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(5))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool = Pool(context, [Endpoint("http", "127.0.0.1", port)], iter_rand(), lambda: tls)
    pool.adopt([Endpoint("https", "127.0.0.1", port)])
    with pytest.raises((OSError, ssl.SSLError)):
        await pool.addresses[0].connect()
    server.close()

    assert heard[0][:1] == b"\x16"  # a TLS handshake record


# Names that stand for several addresses


def named_pool(table: dict[str, list[tuple[str, int]]], *endpoints: str, limits: WireLimits | None = None) -> Pool:
    """`table` has the addresses, each with its port, of every name."""
    context = ProxyContext(asyncio.get_running_loop(), Notes())
    context.loop = NamingLoop(table)  # type: ignore[assignment]
    context.limits = limits or WireLimits()
    return Pool(context, [Endpoint("http", name, 80) for name in endpoints], iter_rand(), no_tls)


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_each_address_of_a_name_is_a_candidate_of_its_own() -> None:
    pool = named_pool({"a": [("10.0.0.1", 80), ("10.0.0.2", 80)], "b": [("10.0.0.3", 80)]}, "a", "b")

    before = [address.label for address in pool.addresses]
    pool.refresh()
    await turns()

    assert before == ["a:80", "b:80"]
    assert [address.label for address in pool.addresses] == ["10.0.0.1:80", "10.0.0.2:80", "b:80"]
    assert {pool.choose((), 0.0).label for _ in range(40)} == {"10.0.0.1:80", "10.0.0.2:80", "b:80"}


async def test_addresses_that_stay_keep_their_state_and_those_that_go_are_closed() -> None:
    table = {"a": [("10.0.0.1", 80), ("10.0.0.2", 80)]}
    pool = named_pool(table, "a", limits=replace(WireLimits(), dns_ttl=1.0))
    pool.refresh()
    await turns()
    first, second = pool.addresses
    first.open = 1  # so that the name is asked for again by itself
    table["a"] = [("10.0.0.2", 80), ("10.0.0.9", 80)]

    async with asyncio.timeout(5):
        while pool.addresses[0] is not second:
            await asyncio.sleep(0.02)

    assert [address.label for address in pool.addresses] == ["10.0.0.2:80", "10.0.0.9:80"]
    assert first._closed
    assert not second._closed
    pool.close()


async def test_a_name_to_which_nobody_is_connected_is_not_asked_for_for_ever() -> None:
    pool = named_pool({"a": [("10.0.0.1", 80)]}, "a", limits=replace(WireLimits(), dns_ttl=1.0))
    pool.refresh()

    await asyncio.sleep(1.3)

    assert pool._context.loop.asked == 1  # type: ignore[attr-defined]
    pool.close()


async def test_a_name_that_is_not_found_any_more_keeps_its_last_addresses() -> None:
    table = {"a": [("10.0.0.1", 80), ("10.0.0.2", 80)]}
    pool = named_pool(table, "a")
    pool.refresh()
    await turns()
    del table["a"]
    for endpoint_pool in pool._endpoint_pools:
        assert endpoint_pool._resolver is not None
        endpoint_pool._resolver.until = 0.0

    pool.refresh()
    await turns()

    assert [address.label for address in pool.addresses] == ["10.0.0.1:80", "10.0.0.2:80"]


async def test_a_connection_of_an_address_that_is_gone_serves_no_further_request() -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        asking = asyncio.create_task(proxy.send(GET))
        while not origin.requests:
            await asyncio.sleep(0)
        proxy.route.pool.addresses[0].close()
        await asking
        await proxy.send(GET)

    assert origin.connections == 2


async def test_retries_go_to_every_endpoint_before_they_come_back_to_one() -> None:
    pool = await pool_of(1, 2, 3, 4)
    tried: list[ResolvedAddress] = []

    while len(tried) < 4:
        tried.append(pool.choose(tried, 0.0))

    assert {address.label for address in tried} == {f"127.0.0.1:{port}" for port in (1, 2, 3, 4)}
    assert pool.choose(tried, 0.0) is not tried[-1]


async def test_an_exchange_that_is_retried_visits_three_endpoints() -> None:
    async with (
        Origin(replying(response(503))) as one,
        Origin(replying(response(503))) as two,
        Origin(replying(response(503))) as three,
    ):
        for _ in range(5):  # each time from the beginning: a breaker would have its own opinion
            async with house([one.port, two.port, three.port]) as proxy:
                await proxy.send(GET)

    assert [len(origin.requests) for origin in (one, two, three)] == [5, 5, 5]


# A connection is made to whichever address answers (RFC 8305)


@pytest.fixture
def hole() -> Iterator[BlackHole]:
    hole = BlackHole("::1")
    yield hole
    hole.close()


async def both_families(port: int) -> Pool:
    """A name with an IPv6 address, and an IPv4 address, in this order."""
    pool = named_pool({"pay": [("::1", port), ("127.0.0.1", port)]}, "pay")
    pool.refresh()
    await turns()
    return pool


async def test_a_blackholed_ipv6_address_costs_a_quarter_of_a_second_and_is_then_left_alone(hole: BlackHole) -> None:
    origin = Origin(replying(response(200)))
    origin.port = hole.port
    async with origin:
        pool = await both_families(hole.port)
        six, four = pool.addresses
        began = asyncio.get_running_loop().time()
        upstream = await six.connect()
        took = asyncio.get_running_loop().time() - began
        now = pool._context.clock()
        chosen = {pool.choose((), now) for _ in range(20)}
        upstream.cancel()
        await turns()

    assert 0.2 <= took < 0.6  # and not the connect timeout of a second
    assert upstream.owner is four
    assert six.ejected_until > now >= four.ejected_until
    assert chosen == {four}


async def test_an_address_that_refuses_costs_nothing() -> None:
    async with Origin(replying(response(200))) as origin:
        pool = await both_families(origin.port)  # nobody listens on ::1
        began = asyncio.get_running_loop().time()
        upstream = await pool.addresses[0].connect()
        took = asyncio.get_running_loop().time() - began
        upstream.cancel()
        await turns()

    assert took < 0.15
    assert upstream.owner is pool.addresses[1]


async def test_where_no_address_answers_it_takes_the_connect_timeout_and_not_that_of_each(hole: BlackHole) -> None:
    table = {"pay": [("::1", hole.port)]}
    pool = named_pool(table, "pay", limits=replace(WireLimits(), connect_timeout=0.3))
    began = asyncio.get_running_loop().time()

    with pytest.raises(TimeoutError):
        await pool.addresses[0].connect()

    assert 0.25 <= asyncio.get_running_loop().time() - began < 0.8


async def test_a_first_request_waits_for_the_name_and_finds_its_addresses() -> None:
    async with Origin(replying(response(200))) as origin:
        pool = named_pool({"pay": [("127.0.0.1", origin.port)]}, "pay")
        upstream = await pool.addresses[0].connect()
        upstream.cancel()
        await turns()

    assert upstream.owner is pool.addresses[0]
    assert pool.addresses[0].info is not None


async def test_an_ipv6_address_is_an_endpoint_like_others() -> None:
    async with Origin(replying(response(200, b"six")), host="::1") as origin:
        async with house([origin.port], host="::1") as proxy:
            answer = await proxy.send(GET)

    assert answer.endswith(b"six")


@on_uvloop
async def test_a_connection_that_nobody_wants_any_more_when_it_is_made_is_not_counted() -> None:
    async with Origin(replying(response(200))) as origin:
        pool = await pool_of(origin.port)
        pending: list[PendingConnection] = []
        made = Upstream.connection_made

        def cancelled(upstream: Upstream, transport: asyncio.BaseTransport) -> None:
            made(upstream, transport)
            pending[0].cancel()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Upstream, "connection_made", cancelled)
            pending.append(pool.connect(pool.addresses[0], Forsaken()))
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.01)
        counts = pool.counts()
        pool.close()

    assert counts == (0, 0)


class Noting:
    """Waits for a stream, and notes what comes."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.told: list[str] = []
        self._then = then

    def on_connected(self, stream: Stream) -> None:
        del stream
        self.told.append("connected")

    def on_connect_failure(self, error: Exception) -> None:
        self.told.append(type(error).__name__)
        self._then()


def test_who_comes_while_others_are_told_of_a_failed_connect_gets_one_of_his_own() -> None:
    on = Stage(HTTP1, connects_at_once=False)
    address = on.pool.addresses[0]
    later = Noting()
    first = Noting(lambda: address.await_stream(later, fresh=False))
    address.await_stream(first, fresh=False)

    on.connects[0].open(ConnectionRefusedError())
    between = list(later.told)
    on.connects[1].open()

    assert first.told == ["ConnectionRefusedError"]
    assert between == []
    assert later.told == ["connected"]
