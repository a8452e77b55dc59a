"""The client as a program uses it: light to install, its names pinned, and calm in a total outage on real sockets."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import httpx
import pytest
import requests

import sidecar.client
from sidecar.client import CallFailed, Retries, of_values
from sidecar.client.aiohttp import RetryMiddleware
from sidecar.client.httpx import AsyncRetryTransport, HttpxRefused, RetryTransport
from sidecar.client.requests import RetryAdapter

REQUESTS = 60
PROXY_ONLY = ("aiohttp", "click", "httptools", "prometheus_client", "rich", "structlog", "uvloop", "watchfiles")

WITHOUT_THE_PROXY = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {PROXY_ONLY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""


class FailingServer:
    """Answers each request with 503, and counts them."""

    def __init__(self) -> None:
        self.count = 0
        self.connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections[task] = writer
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.count += 1
                writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def by_httpx(retries: Retries, url: str) -> None:
    with httpx.Client(transport=RetryTransport(retries), trust_env=False) as client:
        for _ in range(REQUESTS):
            await asyncio.to_thread(client.get, url)


async def by_async_httpx(retries: Retries, url: str) -> None:
    async with httpx.AsyncClient(transport=AsyncRetryTransport(retries), trust_env=False) as client:
        for _ in range(REQUESTS // 10):
            for outcome in await asyncio.gather(*(client.get(url) for _ in range(10)), return_exceptions=True):
                assert isinstance(outcome, httpx.Response | HttpxRefused)


async def by_aiohttp(retries: Retries, url: str) -> None:
    async with aiohttp.ClientSession(middlewares=(RetryMiddleware(retries),)) as session:
        for _ in range(REQUESTS):
            async with session.get(url):
                pass


async def by_requests(retries: Retries, url: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", RetryAdapter(retries))
        for _ in range(REQUESTS):
            await asyncio.to_thread(session.get, url)


async def by_function(retries: Retries, url: str) -> None:
    async def function(attempt: sidecar.client.Attempt) -> None:
        async with session.get(url):
            raise ConnectionResetError

    async with aiohttp.ClientSession() as session:
        for _ in range(REQUESTS):
            with pytest.raises(CallFailed):
                await retries["flaky"].call_async(function, idempotent=True)


@pytest.mark.parametrize("use", [by_httpx, by_async_httpx, by_aiohttp, by_requests, by_function])
async def test_a_total_outage_stays_within_the_budget(use: Callable[[Retries, str], Awaitable[None]]) -> None:
    it = FailingServer()
    server = await asyncio.start_server(it.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    patient = {"backoff": {"base": "1ms", "max": "1ms"}}
    breaker = {"consecutive_failures": 50, "min_requests": 50, "open": "100ms", "max_open": "100ms"}
    retries = of_values(
        "load", {"flaky": {"hosts": ["127.0.0.1"], "overrides": {"retry": patient, "breaker": breaker}}}
    )

    await use(retries, f"http://127.0.0.1:{port}/")

    server.close()
    for writer in it.connections.values():
        writer.transport.abort()
    await asyncio.gather(*it.connections)
    tally = retries["flaky"].engine.tally
    sent = it.count
    assert sum(tally.requests) == REQUESTS
    assert sent <= REQUESTS + 0.1 * REQUESTS + 3
    assert sent > REQUESTS / 2
    assert sent == tally.attempts_total


def test_it_imports_and_reads_documents_without_anything_of_the_proxy(tmp_path: Path) -> None:
    program = (
        WITHOUT_THE_PROXY
        + """
from sidecar.client import of_values
print(of_values("job", {"payments": {}})["payments"].call(lambda attempt: attempt.number))
print(sorted({name.partition(".")[0] for name in sys.modules} & {"asyncio"}))
"""
    )

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert result.stderr == ""
    assert result.stdout.splitlines()[0] == "1"


def test_the_import_alone_reads_no_schemas_and_starts_no_asyncio() -> None:
    late = {"asyncio", "dataclasses", "sidecar.governance", "ssl", "yaml"}
    program = f"import sys, sidecar.client; print(sorted({late!r} & set(sys.modules)))"

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert result.stdout == "[]\n"


def test_the_command_without_the_proxy_is_one_line_that_says_what_to_install() -> None:
    program = WITHOUT_THE_PROXY + "from sidecar.__main__ import main\nmain()"

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "only the client library is installed, and the command needs more: pip install 'retry-sidecar[proxy]'"
    ]


def test_the_public_names_are_these_and_each_is_on_its_page() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "client.md").read_text(encoding="utf-8")

    assert sidecar.client.__all__ == [
        "Attempt",
        "CallFailed",
        "CallObserver",
        "CallRefused",
        "CallTimedOut",
        "Failure",
        "GovernedDestination",
        "Retries",
        "load",
        "of_values",
    ]
    assert [name for name in sidecar.client.__all__ if f"`{name}" not in page] == []
    adapters = ("RetryTransport", "AsyncRetryTransport", "RetryMiddleware", "RetryAdapter", "DestinationCollector")
    assert [name for name in adapters if f"`{name}" not in page] == []


def test_a_name_that_is_none_of_them_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'retry_forever'"):
        sidecar.client.retry_forever  # noqa: B018
