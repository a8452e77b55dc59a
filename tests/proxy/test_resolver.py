"""Names to addresses."""

import asyncio
import socket
from typing import Any

import pytest

from sidecar.proxy.resolver import AGAIN, LIFETIME, MAX_ADDRESSES, MAX_UNLISTED_LOOKUPS, DnsLookupLimit, Resolver


class Names:
    """An event loop's look-ups, scripted."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails: Exception | None = None
        self.answers: list[tuple[Any, ...]] | None = None
        self.answering = asyncio.Event()
        self.answering.set()

    def create_task(self, coroutine: Any) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(coroutine)

    async def getaddrinfo(self, host: str, port: int, *, type: int) -> list[tuple[Any, ...]]:  # noqa: A002
        self.asked += 1
        await self.answering.wait()
        if self.fails is not None:
            raise self.fails
        return self.answers or [(socket.AF_INET, type, 6, "", (f"10.0.0.{self.asked}", port))]


class Bench:
    """A resolver with a clock and names that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.names = Names()
        self.done = 0
        self.resolver = Resolver(self.names, "payments", 80, lambda: self.now, done=self._count)  # type: ignore[arg-type]

    def _count(self) -> None:
        self.done += 1


async def turns() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def test_an_answer_is_kept_for_its_lifetime_and_serves_while_it_is_renewed() -> None:
    bench = Bench()

    first = await bench.resolver.addresses()
    again = await bench.resolver.addresses()
    bench.now += LIFETIME
    stale = await bench.resolver.addresses()
    await turns()
    renewed = await bench.resolver.addresses()

    assert first == again == stale
    assert renewed[0][4] == ("10.0.0.2", 80)
    assert bench.done == 2


async def test_a_refresh_does_not_wait_and_asks_only_for_what_is_old() -> None:
    bench = Bench()

    bench.resolver.refresh()
    bench.resolver.refresh()
    known_at_once = bench.resolver.known
    await turns()
    bench.resolver.refresh()
    await turns()

    assert known_at_once == []
    assert len(bench.resolver.known) == 1
    assert bench.names.asked == 1


async def test_a_known_name_that_is_not_found_any_more_keeps_its_addresses_and_is_asked_for_soon() -> None:
    bench = Bench()
    known = await bench.resolver.addresses()
    bench.names.fails = socket.gaierror("no such name")
    bench.now += LIFETIME

    await bench.resolver.addresses()
    await turns()
    still = await bench.resolver.addresses()
    bench.names.fails = None
    bench.now += AGAIN
    await bench.resolver.addresses()
    await turns()
    found = await bench.resolver.addresses()

    assert still == known
    assert found != known
    assert bench.names.asked == 3


async def test_a_name_that_was_never_found_is_an_error_that_names_it_and_is_not_asked_for_by_every_request() -> None:
    bench = Bench()
    bench.names.fails = socket.gaierror("no such name")

    for _ in range(5):
        with pytest.raises(OSError, match="payments can not be resolved: no such name"):
            await bench.resolver.addresses()
    asked = bench.names.asked
    bench.now += AGAIN
    bench.names.fails = None
    found = await bench.resolver.addresses()

    assert asked == 1
    assert len(found) == 1


@pytest.mark.parametrize("fails", [UnicodeError("label too long"), OSError("out of threads")])
async def test_whatever_goes_wrong_with_a_look_up_is_a_connection_that_can_not_be_had(fails: Exception) -> None:
    bench = Bench()
    bench.names.fails = fails

    with pytest.raises(OSError, match="can not be resolved"):
        await bench.resolver.addresses()


async def test_a_caller_who_leaves_during_a_look_up_does_not_end_it_for_others() -> None:
    bench = Bench()
    leaving = asyncio.create_task(bench.resolver.addresses())
    await asyncio.sleep(0)
    staying = asyncio.create_task(bench.resolver.addresses())
    await asyncio.sleep(0)

    leaving.cancel()

    assert len(await staying) == 1
    assert bench.names.asked == 1


async def test_names_that_nobody_configured_are_looked_up_so_many_at_once_and_no_more() -> None:
    names, limit = Names(), DnsLookupLimit()
    names.answering.clear()  # the name server does not answer
    asking = [
        asyncio.create_task(Resolver(names, f"stranger-{n}", 80, lambda: 0.0, dns_lookup_limit=limit).addresses())  # type: ignore[arg-type]
        for n in range(MAX_UNLISTED_LOOKUPS)
    ]
    await turns()

    with pytest.raises(OSError, match="one-more can not be resolved: too many names are being looked up"):
        await Resolver(names, "one-more", 80, lambda: 0.0, dns_lookup_limit=limit).addresses()  # type: ignore[arg-type]
    configured = asyncio.create_task(Resolver(names, "payments", 80, lambda: 0.0).addresses())  # type: ignore[arg-type]
    await turns()
    asked = names.asked
    names.answering.set()
    answers = await asyncio.gather(*asking, configured)
    later = await Resolver(names, "one-more", 80, lambda: 0.0, dns_lookup_limit=limit).addresses()  # type: ignore[arg-type]

    assert asked == MAX_UNLISTED_LOOKUPS + 1
    assert [len(answer) for answer in answers] == [1] * (MAX_UNLISTED_LOOKUPS + 1)
    assert len(later) == 1


async def test_only_addresses_of_the_internet_count_and_not_endlessly_many() -> None:
    bench = Bench()
    many = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"10.0.{n >> 8}.{n & 255}", 80)) for n in range(1000)]
    bench.names.answers = [(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", ("x", 0)), *many]

    addresses = await bench.resolver.addresses()

    assert len(addresses) == MAX_ADDRESSES
    assert addresses[0][4] == ("10.0.0.0", 80)


async def test_a_name_without_any_address_was_not_found() -> None:
    bench = Bench()
    bench.names.answers = [(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", ("x", 0))]

    with pytest.raises(OSError, match="has no address"):
        await bench.resolver.addresses()
