"""The client library by each of its doors, under the shipped policy and the patience that all are given."""

from dataclasses import dataclass

import aiohttp
import requests
import urllib3

from loadtest.clients.libraries import RETRIED_STATUSES, RetriedError
from loadtest.clients.libraries.alone import httpx_of, unbounded
from loadtest.clients.libraries.threaded import THREADS, threaded
from loadtest.storm.client import BODY, HOST, Client, Doors
from loadtest.storm.scenario import Scenario
from loadtest.storm.witness import ID_HEADER
from loadtest.subjects.sidecar import POLICY
from sidecar.client import Attempt, CallFailed, Failure, GovernedDestination, Retries, of_values
from sidecar.client.aiohttp import RetryMiddleware
from sidecar.client.httpx import AsyncRetryTransport
from sidecar.client.requests import RetryAdapter

NAME = "dependency"  # of which the shipped policy says nothing


class _AnsweredError(RetriedError):
    """An answer that may be tried again, with its Retry-After."""

    def __init__(self, status: int, retry_after: str | None) -> None:
        super().__init__(status)
        self.retry_after = float(retry_after) if retry_after is not None else None


@dataclass(frozen=True, slots=True)
class _Coroutines:
    destination: GovernedDestination
    doors: Doors

    async def get_answer(self, number: int, destination: int, *, post: bool) -> int:
        async def ask(_: Attempt) -> int:
            answer = await self.doors.ask(number, destination, post=post)
            if answer.status in RETRIED_STATUSES:
                raise _AnsweredError(*answer)
            return answer.status

        try:
            return await self.destination.call_async(ask, idempotent=not post, classify=_classify)
        except CallFailed as error:
            return _status(error)


class _Aiohttp:
    def __init__(self, retries: Retries, url: str) -> None:
        self._retries = retries
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def get_answer(self, number: int, _destination: int, *, post: bool) -> int:
        if self._session is None:  # it wants a running loop
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), middlewares=(RetryMiddleware(self._retries),)
            )
        method, data = ("POST", BODY) if post else ("GET", None)
        try:
            async with self._session.request(method, self._url, data=data, headers={ID_HEADER: str(number)}) as answer:
                await answer.read()
                return answer.status
        except aiohttp.ClientError as error:
            raise OSError(str(error)) from error


def coroutines(scenario: Scenario, port: int, doors: Doors) -> Client:
    """See `Start`."""
    return _Coroutines(_retries(scenario, port)[NAME], doors)


def threads(scenario: Scenario, port: int, _doors: Doors) -> Client:
    """See `Start`: plain urllib3 below, without its own retries."""
    destination = _retries(scenario, port)[NAME]
    pool = urllib3.PoolManager(retries=False, maxsize=THREADS)
    url = _url(port)

    def ask(number: int, post: bool) -> int:  # noqa: FBT001 - run_in_executor passes no names
        method, body = ("POST", BODY) if post else ("GET", None)

        def attempt(made: Attempt) -> int:
            answer = pool.request(
                method, url, body=body, headers={ID_HEADER: str(number)}, timeout=max(0.001, made.remaining)
            )
            if answer.status in RETRIED_STATUSES:
                raise _AnsweredError(answer.status, answer.headers.get("retry-after"))
            return answer.status

        try:
            return destination.call(attempt, idempotent=not post, classify=_classify)
        except CallFailed as error:
            return _status(error)

    return threaded(ask)


def httpx_(scenario: Scenario, port: int, _doors: Doors) -> Client:
    """See `Start`."""
    return httpx_of(AsyncRetryTransport(_retries(scenario, port), unbounded()), port)


def aiohttp_(scenario: Scenario, port: int, _doors: Doors) -> Client:
    """See `Start`."""
    return _Aiohttp(_retries(scenario, port), _url(port))


def requests_(scenario: Scenario, port: int, _doors: Doors) -> Client:
    """See `Start`."""
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", RetryAdapter(_retries(scenario, port), pool_connections=1, pool_maxsize=THREADS))
    url = _url(port)

    def ask(number: int, post: bool) -> int:  # noqa: FBT001 - run_in_executor passes no names
        method, body = ("POST", BODY) if post else ("GET", None)
        return session.request(method, url, data=body, headers={ID_HEADER: str(number)}).status_code

    return threaded(ask)


def _retries(scenario: Scenario, port: int) -> Retries:
    overrides = {
        "timeout": f"{scenario.timeout * 1000:.0f}ms",
        "per_attempt_timeout": f"{scenario.per_try * 1000:.0f}ms",
    }
    entry = {"endpoints": [f"http://{HOST}:{port}"], "overrides": overrides}
    return of_values("loadtest", {NAME: entry}, policy=POLICY)


def _url(port: int) -> str:
    return f"http://{HOST}:{port}/balance"


def _classify(error: Exception) -> Failure | None:
    match error:
        case _AnsweredError(status=status, retry_after=retry_after):
            return Failure(status=status, retry_after=retry_after)
        case urllib3.exceptions.NewConnectionError():
            return Failure(fault="connect_failure", sent=False)
        case TimeoutError() | urllib3.exceptions.TimeoutError():
            return Failure(fault="timeout")
        case ConnectionRefusedError():
            return Failure(fault="connect_failure", sent=False)
        case OSError() | urllib3.exceptions.HTTPError():
            return Failure(fault="reset")
    return None


def _status(error: CallFailed) -> int:
    if isinstance(error.__cause__, RetriedError):
        return error.__cause__.status
    raise OSError(str(error)) from error
