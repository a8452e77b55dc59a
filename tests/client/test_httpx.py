"""The transports of httpx over its own mock."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import pytest

from sidecar.client import CallRefused, Retries
from sidecar.client.httpx import AsyncRetryTransport, HttpxRefused, HttpxTimedOut, RetryTransport
from sidecar.engine.policy import BreakerPolicy
from tests.client.conftest import GENEROUS

RetriesOf = Callable[..., Retries]
URL = "http://payments.test/charges"


class Upstream:
    """Answers by a script, and keeps the requests."""

    def __init__(self, *script: int | Exception) -> None:
        self.script = list(script)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = self.script.pop(0) if self.script else 200
        if isinstance(step, Exception):
            raise step
        return httpx.Response(step, text=f"answer {len(self.requests)}")


def client_of(retries: Retries, upstream: Upstream) -> httpx.Client:
    return httpx.Client(transport=RetryTransport(retries, httpx.MockTransport(upstream)))


def test_a_503_is_tried_again_and_the_answer_says_how_often(retries_of: RetriesOf) -> None:
    upstream = Upstream(503)

    response = client_of(retries_of(), upstream).get(URL)

    assert response.status_code == 200
    assert response.headers["x-sidecar-attempts"] == "2"
    assert [request.headers.get("x-retry-attempt") for request in upstream.requests] == [None, "2"]


def test_a_write_is_not_tried_again_and_its_answer_says_why(retries_of: RetriesOf) -> None:
    upstream = Upstream(503)

    response = client_of(retries_of(), upstream).post(URL, json={"amount": 1})

    assert response.status_code == 503
    assert response.headers["x-sidecar-refusal"] == "not_idempotent"
    assert len(upstream.requests) == 1


def test_a_write_to_a_destination_that_honours_keys_has_one_key_and_one_body_on_all_attempts(
    retries_of: RetriesOf,
) -> None:
    upstream = Upstream(503, httpx.ReadError("reset"))
    retries = retries_of(honours_keys=True, key_retention=60.0, budget=GENEROUS)

    response = client_of(retries, upstream).post(URL, json={"amount": 1})

    assert response.status_code == 200
    assert len({request.headers["Idempotency-Key"] for request in upstream.requests}) == 1
    assert {request.read() for request in upstream.requests} == {b'{"amount":1}'}


def test_a_body_that_can_be_read_once_is_sent_once(retries_of: RetriesOf) -> None:
    upstream = Upstream(503)

    def body() -> Iterator[bytes]:
        yield b"once"

    response = client_of(retries_of(), upstream).put(URL, content=body())

    assert response.headers["x-sidecar-refusal"] == "not_replayable"


def test_a_failed_connection_is_tried_again_for_every_method(retries_of: RetriesOf) -> None:
    upstream = Upstream(httpx.ConnectError("refused"))

    assert client_of(retries_of(), upstream).post(URL).status_code == 200


def test_a_fault_that_is_not_tried_again_is_httpxs_own_with_a_note(retries_of: RetriesOf) -> None:
    with pytest.raises(httpx.ReadTimeout) as caught:
        client_of(retries_of(), Upstream(httpx.ReadTimeout("slow"))).post(URL)

    assert caught.value.__notes__ == ["payments: timeout (1 attempt, not tried again: not_idempotent)"]


def test_what_says_nothing_of_the_destination_is_raised_at_once(retries_of: RetriesOf) -> None:
    upstream = Upstream(httpx.PoolTimeout("full"))

    with pytest.raises(httpx.PoolTimeout):
        client_of(retries_of(), upstream).get(URL)

    assert len(upstream.requests) == 1


def test_what_was_never_sent_is_an_exception_of_httpx_and_of_the_client(retries_of: RetriesOf) -> None:
    retries = retries_of(breaker=BreakerPolicy(consecutive_failures=1, open=60, max_open=60))
    client = client_of(retries, Upstream(503))
    client.post(URL)

    with pytest.raises(CallRefused) as caught:
        client.get(URL)

    assert isinstance(caught.value, HttpxRefused)
    assert isinstance(caught.value, httpx.ConnectError)
    assert caught.value.request.url == URL


def test_an_attempt_has_no_more_time_than_remains(retries_of: RetriesOf) -> None:
    upstream = Upstream()

    client_of(retries_of(timeout=2.0), upstream).get(URL, timeout=httpx.Timeout(9.0, connect=0.5))

    given = upstream.requests[0].extensions["timeout"]
    assert given["connect"] == 0.5
    assert 0 < given["read"] <= 2.0


class Streams(httpx.AsyncByteStream):
    """A body that knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b""

    async def aclose(self) -> None:
        self.closed = True


async def test_the_answer_that_a_retry_replaces_is_closed(retries_of: RetriesOf) -> None:
    bodies = [Streams(), Streams()]
    answers = iter([503, 200])

    async def upstream(request: httpx.Request) -> httpx.Response:
        status = next(answers)
        return httpx.Response(status, stream=bodies[0 if status == 503 else 1])

    transport = AsyncRetryTransport(retries_of(), httpx.MockTransport(upstream))
    response = await transport.handle_async_request(httpx.Request("GET", URL))

    assert response.status_code == 200
    assert [body.closed for body in bodies] == [True, False]


async def test_a_late_attempt_goes_on_beside_its_retry_and_may_win(retries_of: RetriesOf) -> None:
    retried = asyncio.Event()

    async def upstream(request: httpx.Request) -> httpx.Response:
        if "x-retry-attempt" in request.headers:
            retried.set()
            await asyncio.Event().wait()
        await retried.wait()
        return httpx.Response(200)

    async with httpx.AsyncClient(
        transport=AsyncRetryTransport(retries_of(per_attempt_timeout=0.01), httpx.MockTransport(upstream))
    ) as client:
        response = await client.get(URL)

    assert response.headers["x-sidecar-attempts"] == "2"


async def test_no_answer_within_the_policys_timeout_is_a_timeout_of_both(retries_of: RetriesOf) -> None:
    async def upstream(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    transport = AsyncRetryTransport(retries_of(timeout=0.06), httpx.MockTransport(upstream))

    with pytest.raises(HttpxTimedOut) as caught:
        await transport.handle_async_request(httpx.Request("GET", URL))

    assert isinstance(caught.value, httpx.ReadTimeout)


def test_closing_closes_what_is_below(retries_of: RetriesOf) -> None:
    closed = []

    class Below(httpx.BaseTransport):
        def close(self) -> None:
            closed.append(True)

    RetryTransport(retries_of(), Below()).close()

    assert closed == [True]
