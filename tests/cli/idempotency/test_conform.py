"""`sidecar idempotency conform`: passes our own ingress, and finds what two usual middlewares do."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
from aiohttp import web
from click.testing import CliRunner

from sidecar.cli.idempotency.conform import conform
from tests.fakes.house import house
from tests.fakes.key_gates import key_gate
from tests.fakes.waiting import pace, turn

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Service:
    """Charges, and fails after the charge where it is told to."""

    def __init__(self) -> None:
        self.charges = 0

    async def pay(self, request: web.Request) -> web.Response:
        order = await request.json()
        await pace(0.05)
        self.charges += 1
        if order.get("fail"):
            return web.json_response({"error": "charged, and then"}, status=500)
        return web.json_response({"charge": self.charges}, status=201)


class NaiveMiddleware:
    """What the field writes: a dict of answers by key. `atomic` False: looks, and only then sets."""

    def __init__(self, handler: Handler, *, atomic: bool, releases_on_5xx: bool) -> None:
        self._handler = handler
        self._atomic = atomic
        self._releases = releases_on_5xx
        self._known: dict[str, tuple[bytes, int, bytes] | None] = {}

    async def __call__(self, request: web.Request) -> web.Response:
        keys = request.headers.getall("Idempotency-Key", [])
        if not keys:
            return problem(400, "key_missing")
        key = keys[0].strip('"')
        if not key or len(key) > 255 or len(set(keys)) > 1:
            return problem(400, "key_malformed")
        body = await request.read()
        if key in self._known:
            known = self._known[key]
            if known is None:
                return problem(409, "in_flight", {"Retry-After": "1"})
            if known[0] != body:
                return problem(422, "key_reused")
            replayed = {"Idempotent-Replayed": "true", "Content-Type": "application/json"}
            return web.Response(status=known[1], body=known[2], headers=replayed)
        if self._atomic:
            self._known[key] = None
        else:
            await turn()  # the round trip to its store
        answer = await self._handler(request)
        if answer.status >= 500 and self._releases:
            self._known.pop(key, None)
        else:
            assert isinstance(answer.body, bytes)
            self._known[key] = body, answer.status, answer.body
        return answer


def problem(status: int, reason: str, headers: dict[str, str] | None = None) -> web.Response:
    content = json.dumps({"type": f"urn:retry-sidecar:problem:{reason}"})
    return web.Response(status=status, text=content, content_type="application/problem+json", headers=headers)


@contextmanager
def serving(handler: Handler, *, gated: bool = False) -> Iterator[str]:
    """The handler on a port of its own, in a thread; `gated`: behind our own ingress."""
    loop = asyncio.new_event_loop()
    ready: list[int] = []
    started, ended = threading.Event(), asyncio.Event()

    async def asked(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/pay", asked)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        if gated:
            async with house([port], ingress=True) as proxy:
                gate = proxy.route.gate = key_gate()
                ready.append(proxy.own.address.port)
                started.set()
                await ended.wait()
                await gate.close()
        else:
            ready.append(port)
            started.set()
            await ended.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(10)
    try:
        yield f"http://127.0.0.1:{ready[0]}/pay"
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


def run(url: str, *more: str) -> tuple[int, dict[str, str | None]]:
    arguments = [url, "--body", '{"order": 1}', "--failing", '{"order": 1, "fail": true}', "--format", "json", *more]
    result = CliRunner().invoke(conform, arguments)
    if result.exit_code == 2:
        return 2, {}
    return result.exit_code, {each["clause"]: each["deviation"] for each in json.loads(result.output)}


def deviating(found: dict[str, str | None]) -> list[str]:
    return [clause for clause, deviation in found.items() if deviation is not None]


def test_our_own_ingress_conforms() -> None:
    service = Service()
    with serving(service.pay, gated=True) as url:
        code, found = run(url)

    assert deviating(found) == []
    assert code == 0
    assert len(found) == 8
    assert service.charges == 2  # one order, and the one that was to fail


def test_a_middleware_that_releases_on_5xx_is_found_to_run_again() -> None:
    service = Service()
    with serving(NaiveMiddleware(service.pay, atomic=True, releases_on_5xx=True)) as url:
        code, found = run(url)

    assert code == 1
    assert deviating(found) == ["a key whose request failed is not run again"]
    assert service.charges == 3


def test_a_middleware_that_checks_and_then_sets_is_found_to_run_twice() -> None:
    service = Service()
    with serving(NaiveMiddleware(service.pay, atomic=False, releases_on_5xx=False)) as url:
        code, found = run(url)

    assert code == 1
    assert "of 50 equal requests at once one is run" in deviating(found)
    assert service.charges > 2


def test_a_service_without_any_middleware_deviates_everywhere() -> None:
    with serving(Service().pay) as url:
        code, found = run(url, "--race", "5")

    assert code == 1
    assert len(deviating(found)) == len(found)


def test_an_endpoint_that_is_not_there_can_not_be_judged() -> None:
    assert run("http://127.0.0.1:1/pay")[0] == 2


@pytest.mark.parametrize("arguments", [["--body", "nonsense"], ["--body", "[1]"], ["--body", "{}", "--header", "x"]])
def test_wrong_arguments_are_told(arguments: list[str]) -> None:
    result = CliRunner().invoke(conform, ["http://127.0.0.1:1/pay", *arguments])

    assert result.exit_code == 2
