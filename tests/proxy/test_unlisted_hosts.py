"""Hosts that no destination names, and their state."""

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from sidecar.engine.breaker import BreakerState
from sidecar.engine.policy import BudgetPolicy, DestinationPolicy
from sidecar.engine.retry import Admission, RetryState
from sidecar.engine.verdict import Retry
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.unlisted_hosts import MAX_HOSTS, UnlistedHosts
from sidecar.wire.misdirected import Misdirected
from tests.fakes.house import Notes, house, no_tls
from tests.fakes.origin import Origin, replying, response


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def hosts(clock: Callable[[], float], policy: DestinationPolicy | None = None) -> UnlistedHosts:
    context = ProxyContext(asyncio.get_running_loop(), Notes(), clock=clock)
    return UnlistedHosts(context, policy or DestinationPolicy(), lambda: 0.5, no_tls)


def failing(unlisted: UnlistedHosts, names: int, requests: int, clock: Clock) -> int:
    """Attempts that leave when each of `requests`, to the next of `names`, and all its retries are answered by 503."""
    attempts = 0
    for number in range(requests):
        destination = unlisted.find("http", f"10.1.{number % names // 250}.{number % names % 250}", 80).destination
        exchange = RetryState(destination, clock.now, float("inf"))
        admission = exchange.admit(clock.now)
        while admission is Admission.GO:
            attempts += 1
            if not isinstance(exchange.on_status(clock.now, 503, None), Retry):
                break
            admission = exchange.depart(clock.now)
        clock.now += 0.005
    return attempts


@pytest.mark.parametrize("names", [1, 16, 300, 1000])
async def test_one_failing_server_under_many_names_is_not_sent_more_retries_than_under_one(names: int) -> None:
    clock = Clock()
    policy = replace(DestinationPolicy(), budget=BudgetPolicy(ratio=0.1, min_retries=3))

    attempts = failing(hosts(clock, policy), names, 2000, clock)  # in one window of the budget

    assert attempts <= 2000 * 1.1 + 3


async def test_hosts_that_find_no_room_share_one_breaker_one_limit_and_one_budget() -> None:
    unlisted = hosts(Clock())
    first = [unlisted.find("http", f"h{number}", 80).destination for number in range(MAX_HOSTS)]
    for destination in first:
        destination.budget.deposit(1000.0)

    one, other = unlisted.find("http", "late-1", 80), unlisted.find("http", "late-2", 80)

    assert len(set(map(id, first))) == MAX_HOSTS
    assert one.destination is other.destination
    assert one.destination not in first
    assert one.pool is not other.pool


async def test_a_host_that_has_nothing_to_tell_any_more_makes_room() -> None:
    clock = Clock()
    unlisted = hosts(clock)
    for number in range(MAX_HOSTS):
        unlisted.find("http", f"h{number}", 80).destination.budget.deposit(clock.now)
    shared = unlisted.find("http", "late", 80).destination

    clock.now += 11.0
    own = unlisted.find("http", "late", 80).destination

    assert own is not shared
    assert len(unlisted.routes) == MAX_HOSTS


async def test_a_host_whose_breaker_is_open_is_not_forgotten_and_is_the_one_that_is_shown() -> None:
    clock = Clock()
    unlisted = hosts(clock)
    bad = unlisted.find("http", "bad", 80).destination
    for _ in range(10):
        bad.breaker.failure(bad.breaker.generation, clock.now)
    for number in range(2 * MAX_HOSTS):
        unlisted.find("http", f"h{number}", 80)

    assert unlisted.find("http", "bad", 80).destination is bad
    assert bad.breaker.state(clock.now) is BreakerState.OPEN
    unlisted.find("http", "good", 80)
    assert unlisted.destination is bad


async def test_every_spelling_of_a_host_has_the_same_state() -> None:
    unlisted = hosts(Clock())

    routes = {unlisted.find("http", host, 80) for host in ("10.0.0.1", "10.1", "::ffff:a00:1", "10.0.0.1.")}

    assert len(routes) == 1
    assert unlisted.find("http", "example.com.", 80) is unlisted.find("http", "example.com", 80)


async def test_routes_are_bounded_and_over_that_only_the_busy_are_kept() -> None:
    unlisted = hosts(Clock())
    for number in range(MAX_HOSTS):
        unlisted.find("http", f"h{number}", 80).destination.budget.deposit(1000.0)
    for number in range(2 * MAX_HOSTS):
        unlisted.find("http", f"late-{number}", 80)
    assert len(unlisted.routes) == 2 * MAX_HOSTS

    for route in unlisted.routes:
        route.pool.addresses[0].open = 1
    with pytest.raises(Misdirected, match="too many hosts"):
        unlisted.find("http", "one-more", 80)


async def test_counts_are_of_all_hosts_together() -> None:
    async with Origin(replying(response(200))) as origin, house([1]) as proxy:
        for name in (b"127.0.0.1", b"127.0.0.2", b"localhost"):
            await proxy.send(b"GET http://%b:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % (name, origin.port), egress=True)

    destination = proxy.unlisted.destination
    assert destination is not None
    assert destination.tally is proxy.unlisted.tally
    assert destination.requests_lately.total == 3
    assert destination.attempts_lately.total >= 3
