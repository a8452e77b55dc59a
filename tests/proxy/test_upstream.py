"""A connection to an endpoint: kept, leased to one exchange at a time, and dropped when it is unfit."""

import asyncio

from tests.fakes.house import house
from tests.fakes.origin import Origin, Request, replying, response

GET = b"GET / HTTP/1.1\r\nHost: payments\r\n\r\n"


async def test_a_connection_serves_one_request_after_another() -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        for _ in range(5):
            await proxy.send(GET)

    assert origin.connections == 1


async def test_bytes_that_nobody_asked_for_close_an_idle_connection() -> None:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(response(200))
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(response(200, b"EVIL"))

    async with Origin(answer) as origin, house([origin.port]) as proxy:
        first = await proxy.send(GET)
        await asyncio.sleep(0.08)
        second = await proxy.send(GET)

    assert b"EVIL" not in first + second
    assert origin.connections == 2


async def test_a_101_without_having_been_asked_is_nonsense() -> None:
    switch = b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    async with Origin(replying(switch)) as origin, house([origin.port]) as proxy:
        got = await proxy.send(GET)

    assert got.startswith(b"HTTP/1.1 502 ")


async def test_an_answer_that_says_close_is_not_followed_by_another_request() -> None:
    async with Origin(replying(response(200, b"", "Connection: close"))) as origin, house([origin.port]) as proxy:
        await proxy.send(GET)
        await proxy.send(GET)

    assert origin.connections == 2


async def test_a_head_met_before_means_something_else_to_a_head_request() -> None:
    whole = response(200, b"hello")
    alone = whole.removesuffix(b"hello")
    async with Origin(replying(whole, alone, whole, alone, whole)) as origin, house([origin.port]) as proxy:
        bodies = []
        for method in (b"GET", b"HEAD", b"GET", b"HEAD", b"GET"):
            asked = b"%b / HTTP/1.1\r\nHost: payments\r\nConnection: close\r\n\r\n" % method
            bodies.append((await proxy.send(asked, until_close=True)).partition(b"\r\n\r\n")[2])

    assert bodies == [b"hello", b"", b"hello", b"", b"hello"]
    assert proxy.context.answers.get(alone) is not None
    assert origin.connections == 1


async def test_the_end_of_a_response_head_that_came_in_pieces_is_no_head_of_its_own() -> None:
    begin, end = b"HTTP/1.1 200 OK\r\nSet-Cookie: a", b"b\r\nContent-Length: 2\r\n\r\n"

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(end + b"ok")

    async with Origin(answer) as origin, house([origin.port]) as proxy:
        got = await proxy.send(GET)

    assert got.endswith(b"\r\n\r\nok")
    assert proxy.context.answers.get(end) is None
