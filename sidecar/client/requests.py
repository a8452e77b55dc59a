"""An adapter for requests: `session.mount("https://", RetryAdapter(retries))`, and the same for `http://`.

A response is returned as it is, a failed one too, with `x-sidecar-attempts` and, where a retry was wanted and not made,
`x-sidecar-refusal` added. Without a response it raises requests' own exception of the last attempt, with a note of how
often it was tried; what was never sent is RequestsRefused, which is requests' exception and this library's. Attempts
block: a late one is not asked about, and ends with the call's `timeout` at the latest.
"""

from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from sidecar.client.attempt import Attempt
from sidecar.client.call import ANSWERED_STATUS, AttemptOutcome
from sidecar.client.dialect import Fields
from sidecar.client.errors import CallRefused, CallTimedOut
from sidecar.client.failure import Failure
from sidecar.client.http import ATTEMPT_FIELD, PORTS, added_fields, answered, keyed
from sidecar.client.retries import Retries

Timeout = float | tuple[float | None, float | None] | None


class RequestsRefused(CallRefused, requests.ConnectionError):
    """The request was never sent: see CallRefused."""


class RequestsTimedOut(CallTimedOut, requests.Timeout):
    """No attempt was answered within the policy's `timeout`: see CallTimedOut."""


class RetryAdapter(HTTPAdapter):
    """Governs what goes through it. urllib3's own retries are off, and cannot be switched on: they are not governed."""

    def __init__(self, retries: Retries, *, pool_connections: int = 10, pool_maxsize: int = 10) -> None:
        self._retries = retries
        super().__init__(pool_connections=pool_connections, pool_maxsize=pool_maxsize, max_retries=0)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - the signature of requests
        timeout: Timeout = None,
        verify: bool | str = True,  # noqa: FBT001, FBT002
        cert: Any = None,
        proxies: dict[str, str] | None = None,
    ) -> requests.Response:
        """See `requests.adapters.HTTPAdapter.send`."""
        url = urlsplit(request.url or "")
        destination = self._retries.for_host(url.hostname or "", url.port or PORTS.get(url.scheme, 0))
        replayable = request.body is None or isinstance(request.body, bytes | str)
        body = request.body.encode() if isinstance(request.body, str) else request.body
        known = body if isinstance(body, bytes) else None
        safety, key = keyed(
            destination,
            request.method or "GET",
            _fields(request),
            known,
            replayable=replayable,
        )

        def make(attempt: Attempt) -> AttemptOutcome[requests.Response]:
            prepared = request.copy()
            if key.field is not None:
                prepared.headers[key.field[0]] = key.field[1]
            if key.body is not None:
                prepared.body = key.body
                prepared.headers["Content-Length"] = str(len(key.body))
            if attempt.number > 1:
                prepared.headers[ATTEMPT_FIELD] = str(attempt.number)
            sooner = _sooner(timeout, attempt.remaining)
            try:
                response = super(RetryAdapter, self).send(prepared, stream, sooner, verify, cert, proxies)
            except Exception as error:  # noqa: BLE001 - raised again when the call ends
                return AttemptOutcome(error=error, failure=_failure(error), status=ANSWERED_STATUS)
            headers = response.headers
            return answered(response, response.status_code, headers.get("Retry-After"), headers.get("Date"))

        call, outcome = destination.run(make, _close, safety)
        if outcome is not None and outcome.value is not None:
            outcome.value.headers.update(added_fields(call))
            return outcome.value
        if outcome is not None and outcome.error is not None:
            if outcome.failure is not None:
                outcome.error.add_note(str(destination.failure_of(call, outcome)))
            raise outcome.error
        raise destination.failure_of(call, outcome, RequestsRefused, RequestsTimedOut)


def _sooner(asked: Timeout, remaining: float) -> tuple[float, float]:
    connect, read = asked if isinstance(asked, tuple) else (asked, asked)
    return (
        remaining if connect is None else min(connect, remaining),
        remaining if read is None else min(read, remaining),
    )


def _failure(error: Exception) -> Failure | None:
    match error:
        case requests.exceptions.SSLError():
            return None  # in TLS 1.3 an alert may come after the request was read: neither unsent nor worth repeating
        case requests.ConnectTimeout():
            return Failure(fault="connect_failure", sent=False)
        case requests.Timeout():
            return Failure(fault="timeout")
        case requests.ConnectionError():
            return Failure(fault="connect_failure", sent=False) if _is_unsent(error) else Failure(fault="reset")
        case requests.exceptions.ChunkedEncodingError():
            return Failure(fault="reset")
    return None


def _is_unsent(error: BaseException) -> bool:
    """Whether urllib3 never had a connection: the reason is inside its MaxRetryError, inside requests' exception."""
    reasons = [getattr(argument, "reason", argument) for argument in error.args]
    return any(isinstance(reason, NewConnectionError | ConnectTimeoutError) for reason in reasons)


def _fields(request: requests.PreparedRequest) -> Fields:
    def values(name: str) -> list[str]:
        value = request.headers.get(name)
        return [] if value is None else [_text(value)]

    return values


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _close(outcome: AttemptOutcome[requests.Response]) -> None:
    if outcome.value is not None:
        outcome.value.close()
