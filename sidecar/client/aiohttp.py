"""A client middleware for aiohttp: `ClientSession(middlewares=(RetryMiddleware(retries),))`.

A response is returned as it is, a failed one too; an observer hears of the attempts. Without a response it raises
aiohttp's own exception of the last attempt, with a note of how often it was tried; what was never sent, or not answered
within the policy's `timeout`, is AiohttpRefused or AiohttpTimedOut, which are aiohttp's exceptions and this library's.

aiohttp hands a middleware one request object, which can be under way once at a time: a late attempt is awaited alone,
and ends with the call's `timeout` at the latest.
"""

from typing import Final

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from sidecar.client.attempt import Attempt
from sidecar.client.call import ANSWERED_STATUS, AttemptOutcome
from sidecar.client.errors import CallRefused, CallTimedOut
from sidecar.client.failure import Failure
from sidecar.client.http import ATTEMPT_FIELD, PORTS, answered, keyed
from sidecar.client.retries import Retries


class AiohttpRefused(CallRefused, aiohttp.ClientConnectionError):
    """The request was never sent: see CallRefused."""


class AiohttpTimedOut(CallTimedOut, aiohttp.ServerTimeoutError):
    """No attempt was answered within the policy's `timeout`: see CallTimedOut."""


_FAULTS: Final[tuple[tuple[type[Exception], Failure], ...]] = (
    (aiohttp.ClientConnectorError, Failure(fault="connect_failure", sent=False)),
    (aiohttp.ConnectionTimeoutError, Failure(fault="connect_failure", sent=False)),
    (TimeoutError, Failure(fault="timeout")),
    (aiohttp.ClientConnectionError, Failure(fault="reset")),
    (ConnectionError, Failure(fault="reset")),
)
"""The first that fits."""


class RetryMiddleware:
    """Governs the requests of a session. Put it last: what others change is equal on all attempts then."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """See aiohttp's client middlewares."""
        url = request.url
        destination = self._retries.for_host(url.host or "", url.port or PORTS.get(url.scheme, 0))
        replayable = _is_replayable(request)
        body = await _body_of(request) if replayable else None
        safety, key = keyed(
            destination, request.method, lambda name: request.headers.getall(name, []), body, replayable=replayable
        )
        if key.field is not None:
            request.headers[key.field[0]] = key.field[1]
        if key.body is not None:
            await request.update_body(key.body)

        async def make(attempt: Attempt) -> AttemptOutcome[ClientResponse]:
            if attempt.number > 1:
                request.headers[ATTEMPT_FIELD] = str(attempt.number)
            try:
                response = await handler(request)
            except Exception as error:  # noqa: BLE001 - raised again when the call ends
                failure = next((failure for kind, failure in _FAULTS if isinstance(error, kind)), None)
                return AttemptOutcome(error=error, failure=failure, status=ANSWERED_STATUS)
            headers = response.headers
            return answered(response, response.status, headers.get("Retry-After"), headers.get("Date"))

        call, outcome = await destination.run_async(make, _close, safety, overlapping=False)
        if outcome is not None and outcome.value is not None:
            return outcome.value
        if outcome is not None and outcome.error is not None:
            if outcome.failure is not None:
                outcome.error.add_note(str(destination.failure_of(call, outcome)))
            raise outcome.error
        raise destination.failure_of(call, outcome, AiohttpRefused, AiohttpTimedOut)


def _is_replayable(request: ClientRequest) -> bool:
    """Whether the body can be written again: bytes and no body can, what is read from a file or a generator cannot."""
    body = request.body
    return isinstance(body, bytes | bytearray | memoryview | aiohttp.BytesPayload) or not body


async def _body_of(request: ClientRequest) -> bytes:
    body = request.body
    if isinstance(body, aiohttp.BytesPayload):
        return await body.as_bytes()
    return bytes(body) if isinstance(body, bytes | bytearray | memoryview) else b""


async def _close(outcome: AttemptOutcome[ClientResponse]) -> None:
    if outcome.value is not None:
        outcome.value.release()
