"""Transports for httpx: `httpx.Client(transport=RetryTransport(retries))`, and the same for AsyncClient.

A response is returned as it is, a failed one too, with `x-sidecar-attempts` and, where a retry was wanted and not made,
`x-sidecar-refusal` added. Without a response it raises httpx's own exception of the last attempt, with a note of how
often it was tried; what was never sent, or not answered within the policy's `timeout`, is HttpxRefused or
HttpxTimedOut, which are httpx's exceptions and this library's.
"""

from typing import Final

import httpx

from sidecar.client.attempt import Attempt
from sidecar.client.call import ANSWERED_STATUS, AttemptOutcome, GovernedCall
from sidecar.client.dialect import CallKey
from sidecar.client.errors import CallFailed, CallRefused, CallTimedOut
from sidecar.client.failure import Failure
from sidecar.client.governed import GovernedDestination
from sidecar.client.http import ATTEMPT_FIELD, PORTS, added_fields, answered, keyed
from sidecar.client.retries import Retries
from sidecar.client.safety import Safety


class HttpxRefused(CallRefused, httpx.ConnectError):
    """The request was never sent: see CallRefused."""


class HttpxTimedOut(CallTimedOut, httpx.ReadTimeout):
    """No attempt was answered within the policy's `timeout`: see CallTimedOut."""


_FAULTS: Final[tuple[tuple[type[Exception], Failure], ...]] = (
    (httpx.ConnectError, Failure(fault="connect_failure", sent=False)),
    (httpx.ConnectTimeout, Failure(fault="connect_failure", sent=False)),
    (httpx.TimeoutException, Failure(fault="timeout")),
    (httpx.NetworkError, Failure(fault="reset")),
    (httpx.RemoteProtocolError, Failure(fault="reset")),
)
"""The first that fits. A PoolTimeout is none of them: that the own pool is empty says nothing of the destination."""


class RetryTransport(httpx.BaseTransport):
    """Governs what goes through `transport`, by default one of httpx's own.

    Its attempts block: a late one is not asked about, and ends with the call's `timeout` at the latest.
    """

    def __init__(self, retries: Retries, transport: httpx.BaseTransport | None = None) -> None:
        self._retries = retries
        self._transport = httpx.HTTPTransport() if transport is None else transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.BaseTransport`."""
        destination = _destination(self._retries, request)
        safety, key = _keyed(request, destination)

        def make(attempt: Attempt) -> AttemptOutcome[httpx.Response]:
            try:
                return _answered(self._transport.handle_request(_prepared(request, attempt, key)))
            except Exception as error:  # noqa: BLE001 - raised again when the call ends
                return _failed(error)

        call, outcome = destination.run(make, _close, safety)
        return _result(destination, call, outcome, request)

    def close(self) -> None:
        """Close the transport below."""
        self._transport.close()


class AsyncRetryTransport(httpx.AsyncBaseTransport):
    """Governs what goes through `transport`, by default one of httpx's own. A late attempt goes on beside its retry."""

    def __init__(self, retries: Retries, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._retries = retries
        self._transport = httpx.AsyncHTTPTransport() if transport is None else transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.AsyncBaseTransport`."""
        destination = _destination(self._retries, request)
        safety, key = _keyed(request, destination)

        async def make(attempt: Attempt) -> AttemptOutcome[httpx.Response]:
            try:
                return _answered(await self._transport.handle_async_request(_prepared(request, attempt, key)))
            except Exception as error:  # noqa: BLE001 - raised again when the call ends
                return _failed(error)

        call, outcome = await destination.run_async(make, _close_async, safety)
        return _result(destination, call, outcome, request)

    async def aclose(self) -> None:
        """Close the transport below."""
        await self._transport.aclose()


def _destination(retries: Retries, request: httpx.Request) -> GovernedDestination:
    url = request.url
    return retries.for_host(url.host, url.port or PORTS.get(url.scheme, 0))


def _keyed(request: httpx.Request, destination: GovernedDestination) -> tuple[Safety, CallKey]:
    replayable = isinstance(request.stream, httpx.ByteStream)
    body = request.content if replayable else None
    return keyed(destination, request.method, request.headers.get_list, body, replayable=replayable)


def _prepared(request: httpx.Request, attempt: Attempt, key: CallKey) -> httpx.Request:
    """The request of one attempt: with the call's key, the attempt's number, and no more time than remains."""
    headers = request.headers.copy()
    stream = request.stream
    if key.field is not None:
        headers[key.field[0]] = key.field[1]
    if key.body is not None:
        stream = httpx.ByteStream(key.body)
        headers["Content-Length"] = str(len(key.body))
    if attempt.number > 1:
        headers[ATTEMPT_FIELD] = str(attempt.number)
    remaining = attempt.remaining
    asked = request.extensions.get("timeout", {})
    timeout = {each: _sooner(asked.get(each), remaining) for each in ("connect", "read", "write", "pool")}
    return httpx.Request(
        request.method,
        request.url,
        headers=headers,
        stream=stream,
        extensions={**request.extensions, "timeout": timeout},
    )


def _sooner(asked: float | None, remaining: float) -> float:
    return remaining if asked is None else min(asked, remaining)


def _answered(response: httpx.Response) -> AttemptOutcome[httpx.Response]:
    headers = response.headers
    return answered(response, response.status_code, headers.get("retry-after"), headers.get("date"))


def _failed(error: Exception) -> AttemptOutcome[httpx.Response]:
    failure = next((failure for kind, failure in _FAULTS if isinstance(error, kind)), None)
    if isinstance(error, httpx.PoolTimeout):
        failure = None
    return AttemptOutcome(error=error, failure=failure, status=ANSWERED_STATUS)


def _close(outcome: AttemptOutcome[httpx.Response]) -> None:
    if outcome.value is not None:
        outcome.value.close()


async def _close_async(outcome: AttemptOutcome[httpx.Response]) -> None:
    if outcome.value is not None:
        await outcome.value.aclose()


def _result(
    destination: GovernedDestination,
    call: GovernedCall[httpx.Response],
    outcome: AttemptOutcome[httpx.Response] | None,
    request: httpx.Request,
) -> httpx.Response:
    if outcome is not None and outcome.value is not None:
        outcome.value.headers.update(added_fields(call))
        return outcome.value
    if outcome is not None and outcome.error is not None:
        if outcome.failure is not None:
            outcome.error.add_note(str(destination.failure_of(call, outcome)))
        raise outcome.error
    failure: CallFailed = destination.failure_of(call, outcome, HttpxRefused, HttpxTimedOut)
    if isinstance(failure, httpx.RequestError):
        failure.request = request
    raise failure
