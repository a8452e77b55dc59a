"""Files the process may have open."""

import asyncio
import errno
import resource
import socket
from typing import Any

import aiohappyeyeballs
import pytest

from sidecar.engine.breaker import BreakerState
from sidecar.proxy.open_files import caller_connections, exhausted, raise_limit
from tests.fakes.files import no_file_left
from tests.fakes.house import House, house
from tests.fakes.loops import on_uvloop
from tests.fakes.origin import Origin, replying, response

GET = b"GET / HTTP/1.1\r\nHost: payments\r\n\r\n"


@pytest.mark.parametrize(("files", "callers"), [(1024, 416), (256, 64), (65536, 32672), (20, 5), (1, 1)])
def test_callers_get_half_of_what_is_not_reserved(files: int, callers: int) -> None:
    assert caller_connections(files) == callers


def test_as_many_files_are_asked_for_as_there_may_be() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], 300), before[1]))
    try:
        assert raise_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 300
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_name_look_up_that_failed_for_want_of_files_is_told_from_a_name_that_there_is_not() -> None:
    error = OSError("payments can not be resolved")
    error.__cause__ = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with no_file_left():
        without_files = exhausted(error)

    assert without_files
    assert not exhausted(error)


@pytest.mark.parametrize(("number", "ours"), [(errno.EMFILE, True), (errno.ENFILE, True), (errno.ECONNREFUSED, False)])
def test_which_errors_are_our_own(number: int, *, ours: bool) -> None:
    assert exhausted(OSError(number, "")) is ours


@on_uvloop
async def test_a_connection_that_no_file_is_left_for_says_nothing_about_the_destination() -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        with no_file_left():
            answers = [await _asked(reader, writer) for _ in range(12)]  # more than open a breaker
        after = await _asked(reader, writer)
        writer.close()

    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'"reason":"out_of_files"' in answer
        assert b"Retry-After: 1\r\n" in answer
    assert after.startswith(b"HTTP/1.1 200 ")
    assert proxy.destination.breaker.state(proxy.context.clock()) is BreakerState.CLOSED
    assert proxy.tally.attempts_total == 1
    assert proxy.tally.connect_failures == {}
    assert proxy.route.pool.addresses[0].ejected_until == 0.0
    assert proxy.context.misdirected["out_of_files"] == 12


@pytest.mark.parametrize("idle", [True, False])
@on_uvloop
async def test_a_connection_that_no_file_is_left_for_takes_that_of_an_idle_one(
    monkeypatch: pytest.MonkeyPatch, *, idle: bool
) -> None:
    refused = OSError(errno.EMFILE, "Too many open files")
    outcomes: list[OSError | None] = [None, refused, None] if idle else [refused, None]
    start_connection = aiohappyeyeballs.start_connection

    async def start(*args: Any, **kwargs: Any) -> socket.socket:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome
        return await start_connection(*args, **kwargs)

    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        monkeypatch.setattr(aiohappyeyeballs, "start_connection", start)
        if idle:
            await proxy.send(GET)
        unlisted = b"GET http://localhost:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % origin.port
        answer = await proxy.send(unlisted, egress=True)

    assert answer.startswith(b"HTTP/1.1 200 " if idle else b"HTTP/1.1 503 ")
    assert proxy.route.pool.counts() == (0, 0)


@on_uvloop
async def test_a_listener_goes_on_when_there_are_files_again() -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        waiting = [socket.socket() for _ in range(20)]
        with no_file_left():
            for sock in waiting:
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", proxy.own.address.port))
            await asyncio.sleep(0.2)
        for sock in waiting:
            sock.close()
        answer = await proxy.send(GET)

    assert answer.startswith(b"HTTP/1.1 200 ")


@on_uvloop
async def test_a_listener_that_had_stopped_for_its_limit_goes_on_when_there_are_files_again() -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        proxy.context.max_connections = 1
        first = socket.create_connection(("127.0.0.1", proxy.own.address.port))
        await _accepted(proxy, 1)
        with no_file_left():
            first.shutdown(socket.SHUT_RDWR)
            await asyncio.sleep(0.2)
        first.close()
        answer = await proxy.send(GET)

    assert answer.startswith(b"HTTP/1.1 200 ")


@on_uvloop
async def test_callers_of_all_listeners_together_get_no_more_than_their_share_and_the_others_wait() -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        proxy.context.max_connections = 3
        ports = [listener.address.port for listener in (proxy.own, proxy.egress)] * 5
        callers = [socket.create_connection(("127.0.0.1", port), 5) for port in ports]
        await _accepted(proxy, 3)
        await asyncio.sleep(0.1)
        most = proxy.context.connections
        for caller in callers:
            caller.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answers = await asyncio.gather(*(asyncio.to_thread(caller.recv, 1000) for caller in callers))
        for caller in callers:
            caller.close()

    assert most == 3
    assert [answer[:13] for answer in answers] == [b"HTTP/1.1 200 "] * 10


async def _accepted(proxy: House, count: int) -> None:
    while proxy.context.connections < count:
        await asyncio.sleep(0.01)


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(GET)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    return head + await reader.readexactly(length)
