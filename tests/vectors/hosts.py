"""Hosts of the engine that run the cases: the driver in virtual time, and each adapter of the client on sockets."""

import asyncio
import heapq
import json
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path

import aiohttp
import httpx
import requests

from sidecar.client import (
    Attempt,
    CallFailed,
    CallRefused,
    CallTimedOut,
    Failure,
    GovernedDestination,
    Retries,
    of_values,
)
from sidecar.client.aiohttp import RetryMiddleware
from sidecar.client.httpx import AsyncRetryTransport, RetryTransport
from sidecar.client.requests import RetryAdapter
from sidecar.engine.destination import Destination
from sidecar.engine.driver import Driver, DriverPhase
from sidecar.engine.outcome import Fault
from sidecar.engine.retry import RetryState
from sidecar.engine.verdict import Refusal
from sidecar.vectors.case import VectorCall, VectorCase, load_cases, policy_document
from sidecar.vectors.judge import SeenAttempt, SeenCall
from sidecar.wire.retry_after import parse_retry_after

CASES = load_cases()


def retries_for(folder: Path) -> Retries:
    """The cases' policies as the client reads them, each as a destination."""
    policy = folder / "vectors-policy.yaml"
    policy.write_text(json.dumps(policy_document(CASES)), encoding="utf-8")
    return of_values("vectors", {case.name: {} for case in CASES}, policy=policy)


class VirtualHost:
    """One call against the script, in virtual time."""

    def __init__(self, call: VectorCall, destination: Destination, now: float, repeatable_until: float) -> None:
        self.call = call
        self.seen = SeenCall()
        self.timer_at = math.inf
        self.due: list[tuple[float, int]] = []
        self.driver = Driver(self, RetryState(destination, now, repeatable_until))
        self.began = self.now = now

    def run(self) -> SeenCall:
        self.driver.begin(self.now)
        while self.driver.phase is not DriverPhase.OVER:
            if self.due and self.due[0][0] <= self.timer_at:
                self.now, number = heapq.heappop(self.due)
                self._answer(number)
            else:
                self.now = self.timer_at
                self.driver.on_timer(self.now)
        self.seen.seconds = self.now - self.began
        return self.seen

    def _script(self, number: int) -> int:
        return min(number, len(self.call.answers)) - 1

    def _answer(self, number: int) -> None:
        answer = self.call.answers[self._script(number)]
        self.seen.attempts[number - 1].ended = self.now
        if answer.status is None:
            self.driver.on_fault(number, self.now, Fault.RESET, sent=True)
        else:
            wish = answer.retry_after
            wait = None if wish is None else parse_retry_after(wish.encode(), b"", 0.0)
            self.driver.on_status(number, self.now, answer.status, wait)

    def send(self, number: int, now: float) -> None:
        self.seen.attempts.append(SeenAttempt(now, math.inf, None, None))
        answer = self.call.answers[self._script(number)]
        if answer.fault != "hang":
            heapq.heappush(self.due, (now + answer.delay, number))

    def call_off(self, number: int) -> None:
        self.due = [each for each in self.due if each[1] != number]
        heapq.heapify(self.due)

    def arm(self, at: float) -> None:
        self.timer_at = at

    def deliver(self, number: int, refusal: Refusal | None, now: float) -> None:
        answer = self.call.answers[self._script(number)]
        self.seen.refusal = None if refusal is None else refusal.value
        if now >= self.driver.exchange.deadline:
            self.seen.outcome = "timeout"
        elif answer.status is None:
            self.seen.outcome = "fault"
        else:
            self.seen.outcome = "answer"
            self.seen.status = answer.status

    def refuse(self, refusal: Refusal, now: float) -> None:
        self.seen.outcome = "refused"
        self.seen.refusal = refusal.value


def run_virtually(case: VectorCase, retries: Retries, rand: Callable[[], float]) -> list[SeenCall]:
    policy = retries[case.name].policy
    destination = Destination(case.name, policy, rand, 0.0)
    now = 0.0
    seen = []
    for call in case.calls:
        repeatable = call.method in policy.retry.methods or (call.keyed and policy.honours_keys)
        host = VirtualHost(call, destination, now, math.inf if repeatable else -math.inf)
        seen.append(host.run())
        now = host.now
    return seen


# On sockets: each host makes the calls of a case to `base`, and tells how each ended

Host = Callable[[VectorCase, Retries, str], Awaitable[list[SeenCall]]]
KEY = {"Idempotency-Key": "k-1"}


def _words(error: Exception) -> SeenCall:
    """The end of a call that has no response. An exception of the library itself carries its reason in a note."""
    match error:
        case CallRefused():
            return SeenCall(outcome="refused", refusal=error.refusal)
        case CallTimedOut() | httpx.TimeoutException() | requests.Timeout():
            return SeenCall(outcome="timeout")
        case CallFailed():
            return SeenCall(outcome="fault", refusal=error.refusal)
    return SeenCall(outcome="fault")


async def _each(
    case: VectorCase, call_of: Callable[[VectorCall, int], Coroutine[None, None, SeenCall]]
) -> list[SeenCall]:
    seen = []
    for place, call in enumerate(case.calls):
        began = time.monotonic()
        try:
            did = await call_of(call, place)
        except (CallFailed, httpx.HTTPError, aiohttp.ClientError, requests.RequestException) as error:
            did = _words(error)
        did.seconds = time.monotonic() - began
        seen.append(did)
    return seen


async def by_httpx(case: VectorCase, retries: Retries, base: str) -> list[SeenCall]:
    destination = retries[case.name]
    with httpx.Client(transport=RetryTransport(_only(destination)), timeout=None, trust_env=False) as client:

        async def one(call: VectorCall, place: int) -> SeenCall:
            headers = KEY if call.keyed else {}
            response = await asyncio.to_thread(client.request, call.method, f"{base}/{place}", headers=headers)
            return SeenCall(
                outcome="answer",
                status=response.status_code,
                refusal=response.headers.get("x-sidecar-refusal"),
            )

        return await _each(case, one)


async def by_async_httpx(case: VectorCase, retries: Retries, base: str) -> list[SeenCall]:
    transport = AsyncRetryTransport(_only(retries[case.name]))
    async with httpx.AsyncClient(transport=transport, timeout=None, trust_env=False) as client:

        async def one(call: VectorCall, place: int) -> SeenCall:
            response = await client.request(call.method, f"{base}/{place}", headers=KEY if call.keyed else {})
            return SeenCall(
                outcome="answer",
                status=response.status_code,
                refusal=response.headers.get("x-sidecar-refusal"),
            )

        return await _each(case, one)


async def by_aiohttp(case: VectorCase, retries: Retries, base: str) -> list[SeenCall]:
    middleware = RetryMiddleware(_only(retries[case.name]))
    async with aiohttp.ClientSession(middlewares=(middleware,)) as session:

        async def one(call: VectorCall, place: int) -> SeenCall:
            headers = KEY if call.keyed else {}
            async with session.request(call.method, f"{base}/{place}", headers=headers) as response:
                return SeenCall(outcome="answer", status=response.status)

        return await _each(case, one)


async def by_requests(case: VectorCase, retries: Retries, base: str) -> list[SeenCall]:
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", RetryAdapter(_only(retries[case.name])))

        async def one(call: VectorCall, place: int) -> SeenCall:
            headers = KEY if call.keyed else {}
            response = await asyncio.to_thread(session.request, call.method, f"{base}/{place}", headers=headers)
            return SeenCall(
                outcome="answer",
                status=response.status_code,
                refusal=response.headers.get("x-sidecar-refusal"),
            )

        return await _each(case, one)


class Answered(Exception):
    """A status that a plain function may raise."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def _classify(error: Exception) -> Failure | None:
    match error:
        case Answered():
            wish = error.response.headers.get("retry-after", "")
            return Failure(status=error.response.status_code, retry_after=float(wish) if wish.isdigit() else None)
        case httpx.TimeoutException():
            return Failure(fault="timeout")
        case httpx.TransportError():
            return Failure(fault="reset")
    return None


async def by_function(case: VectorCase, retries: Retries, base: str) -> list[SeenCall]:
    """A coroutine function that raises for bad statuses, as many SDKs do."""
    destination = retries[case.name]
    async with httpx.AsyncClient(timeout=None, trust_env=False) as client:

        async def one(call: VectorCall, place: int) -> SeenCall:
            async def attempt_of(attempt: Attempt) -> int:
                response = await client.request(call.method, f"{base}/{place}", headers=attempt.headers)
                if response.status_code >= 400:
                    raise Answered(response)
                return response.status_code

            try:
                status = await destination.call_async(
                    attempt_of,
                    idempotent=call.method in destination.policy.retry.methods,
                    idempotency_key=call.keyed,
                    classify=_classify,
                )
            except CallFailed as error:
                if isinstance(error.__cause__, Answered):
                    answered = error.__cause__.response.status_code
                    return SeenCall(outcome="answer", status=answered, refusal=error.refusal)
                raise
            return SeenCall(outcome="answer", status=status)

        return await _each(case, one)


HOSTS: dict[str, Host] = {
    "httpx": by_httpx,
    "httpx-async": by_async_httpx,
    "aiohttp": by_aiohttp,
    "requests": by_requests,
    "function": by_function,
}


class _Only(Retries):
    """All hosts lead to one destination: the cases tell themselves apart by path."""

    def __init__(self, destination: GovernedDestination) -> None:
        super().__init__({}, {}, destination.policy)
        self._only = destination

    def for_host(self, host: str, port: int) -> GovernedDestination:
        return self._only


def _only(destination: GovernedDestination) -> Retries:
    return _Only(destination)
