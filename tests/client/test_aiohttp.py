"""The middleware of aiohttp in a real session, with a handler of aiohttp's test server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from sidecar.client import CallRefused, Retries
from sidecar.client.aiohttp import AiohttpRefused, AiohttpTimedOut, RetryMiddleware
from sidecar.engine.policy import BreakerPolicy
from tests.client.conftest import GENEROUS

RetriesOf = Callable[..., Retries]


class Origin:
    """Answers by a script, and keeps the fields and bodies of what came."""

    def __init__(self) -> None:
        self.script: list[int | str] = []
        self.fields: list[dict[str, str]] = []
        self.bodies: list[bytes] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.fields.append(dict(request.headers))
        self.bodies.append(await request.read())
        step = self.script.pop(0) if self.script else 200
        if step == "reset":
            assert request.transport is not None
            request.transport.abort()
        if step == "hang":
            await self.hang()
        return web.Response(status=step if isinstance(step, int) else 200)

    @staticmethod
    async def hang() -> None:
        await asyncio.Event().wait()


@pytest.fixture
async def origin() -> AsyncIterator[tuple[Origin, str]]:
    made = Origin()
    app = web.Application()
    app.router.add_route("*", "/", made.answer)
    server = TestServer(app)
    await server.start_server()
    yield made, str(server.make_url("/"))
    await server.close()


Request = Callable[..., Awaitable[int]]


def session_of(retries: Retries) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(middlewares=(RetryMiddleware(retries),))


async def test_a_503_is_tried_again(retries_of: RetriesOf, origin: tuple[Origin, str]) -> None:
    it, url = origin
    it.script = [503]

    async with session_of(retries_of()) as session, session.get(url) as response:
        assert response.status == 200

    assert [fields.get("x-retry-attempt") for fields in it.fields] == [None, "2"]


async def test_a_write_is_not_tried_again(retries_of: RetriesOf, origin: tuple[Origin, str]) -> None:
    it, url = origin
    it.script = [503]

    async with session_of(retries_of()) as session, session.post(url, data=b"1") as response:
        assert response.status == 503

    assert len(it.fields) == 1


async def test_a_write_to_a_destination_that_honours_keys_has_one_key_and_one_body(
    retries_of: RetriesOf, origin: tuple[Origin, str]
) -> None:
    it, url = origin
    it.script = [503, "reset"]

    retries = retries_of(honours_keys=True, key_retention=60.0, budget=GENEROUS)
    async with session_of(retries) as session, session.post(url, data=b"one") as response:
        assert response.status == 200

    assert len({fields["Idempotency-Key"] for fields in it.fields}) == 1
    assert it.bodies == [b"one", b"one", b"one"]


async def test_a_body_that_can_be_read_once_is_sent_once(retries_of: RetriesOf, origin: tuple[Origin, str]) -> None:
    it, url = origin
    it.script = [503]

    async def body() -> AsyncIterator[bytes]:
        yield b"once"

    async with session_of(retries_of()) as session, session.put(url, data=body()) as response:
        assert response.status == 503

    assert it.bodies == [b"once"]


async def test_a_refused_connection_is_tried_again_and_raised_as_aiohttps_own(retries_of: RetriesOf) -> None:
    async with session_of(retries_of(budget=GENEROUS)) as session:
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await session.post(f"http://127.0.0.1:{unused_port()}/")

    assert caught.value.__notes__ == ["unlisted: connect_failure (3 attempts, not tried again: attempts_exhausted)"]


async def test_what_was_never_sent_is_an_exception_of_aiohttp_and_of_the_client(
    retries_of: RetriesOf, origin: tuple[Origin, str]
) -> None:
    it, url = origin
    it.script = [503]
    retries = retries_of(breaker=BreakerPolicy(consecutive_failures=1, open=60, max_open=60))

    async with session_of(retries) as session:
        await session.post(url)
        with pytest.raises(CallRefused) as caught:
            await session.get(url)

    assert isinstance(caught.value, AiohttpRefused)
    assert isinstance(caught.value, aiohttp.ClientConnectionError)


async def test_no_answer_within_the_policys_timeout_is_a_timeout_of_both(
    retries_of: RetriesOf, origin: tuple[Origin, str]
) -> None:
    it, url = origin
    it.script = ["hang"]

    async with session_of(retries_of(timeout=0.1)) as session:
        with pytest.raises(AiohttpTimedOut) as caught:
            await session.get(url)

    assert isinstance(caught.value, aiohttp.ServerTimeoutError)
