"""The adapter of requests, over a script in place of urllib3."""

from collections.abc import Callable, Iterator
from io import BytesIO

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import MaxRetryError, NewConnectionError

from sidecar.client import CallRefused, Retries
from sidecar.client.requests import RequestsRefused, RetryAdapter
from sidecar.engine.policy import BreakerPolicy
from tests.client.conftest import GENEROUS

RetriesOf = Callable[..., Retries]
URL = "http://payments.test/charges"


class Script:
    """Stands where the adapter below would send."""

    def __init__(self) -> None:
        self.steps: list[int | Exception] = []
        self.sent: list[requests.PreparedRequest] = []
        self.timeouts: list[object] = []

    def send(
        self, _adapter: HTTPAdapter, request: requests.PreparedRequest, _stream: bool, timeout: object, *_: object
    ) -> requests.Response:
        self.sent.append(request)
        self.timeouts.append(timeout)
        step = self.steps.pop(0) if self.steps else 200
        if isinstance(step, Exception):
            raise step
        response = requests.Response()
        response.status_code = step
        response.request = request
        response.url = URL
        response.raw = BytesIO()
        return response


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    made = Script()
    monkeypatch.setattr(HTTPAdapter, "send", lambda *given: made.send(*given))
    return made


@pytest.fixture
def session_of() -> Callable[[Retries], requests.Session]:
    def made(retries: Retries) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.mount("http://", RetryAdapter(retries))
        return session

    return made


SessionOf = Callable[[Retries], requests.Session]


def refused_by_the_peer() -> requests.ConnectionError:
    reason = NewConnectionError(HTTPConnection("payments.test"), "refused")
    return requests.ConnectionError(MaxRetryError(HTTPConnectionPool("payments.test"), URL, reason))


def test_a_503_is_tried_again(retries_of: RetriesOf, script: Script, session_of: SessionOf) -> None:
    script.steps = [503]

    response = session_of(retries_of()).get(URL)

    assert (response.status_code, response.headers["x-sidecar-attempts"]) == (200, "2")
    assert script.sent[1].headers["x-retry-attempt"] == "2"


def test_a_write_is_not_tried_again(retries_of: RetriesOf, script: Script, session_of: SessionOf) -> None:
    script.steps = [503]

    response = session_of(retries_of()).post(URL, data=b"1")

    assert response.headers["x-sidecar-refusal"] == "not_idempotent"
    assert len(script.sent) == 1


def test_a_write_whose_connection_was_refused_is_tried_again(
    retries_of: RetriesOf, script: Script, session_of: SessionOf
) -> None:
    script.steps = [refused_by_the_peer()]

    assert session_of(retries_of()).post(URL, data=b"1").status_code == 200


def test_a_write_whose_connection_was_lost_is_not(retries_of: RetriesOf, script: Script, session_of: SessionOf) -> None:
    script.steps = [requests.ConnectionError("reset by peer")]

    with pytest.raises(requests.ConnectionError) as caught:
        session_of(retries_of()).post(URL, data=b"1")

    assert caught.value.__notes__ == ["payments: reset (1 attempt, not tried again: not_idempotent)"]


def test_a_tls_error_counts_as_neither_unsent_nor_worth_another_try(
    retries_of: RetriesOf, script: Script, session_of: SessionOf
) -> None:
    script.steps = [requests.exceptions.SSLError("alert")]

    with pytest.raises(requests.exceptions.SSLError):
        session_of(retries_of()).get(URL)

    assert len(script.sent) == 1


def test_one_key_on_all_attempts_where_the_destination_honours_keys(
    retries_of: RetriesOf, script: Script, session_of: SessionOf
) -> None:
    script.steps = [503, requests.ReadTimeout()]

    session_of(retries_of(honours_keys=True, key_retention=60.0, budget=GENEROUS)).post(URL, data=b"1")

    assert len({request.headers["Idempotency-Key"] for request in script.sent}) == 1
    assert len(script.sent) == 3


def test_a_body_that_can_be_read_once_is_sent_once(
    retries_of: RetriesOf, script: Script, session_of: SessionOf
) -> None:
    script.steps = [503]

    def body() -> Iterator[bytes]:
        yield b"once"

    response = session_of(retries_of()).put(URL, data=body())

    assert response.headers["x-sidecar-refusal"] == "not_replayable"


def test_an_attempt_has_no_more_time_than_remains(retries_of: RetriesOf, script: Script, session_of: SessionOf) -> None:
    session_of(retries_of(timeout=2.0)).get(URL, timeout=(0.5, 30.0))

    (given,) = script.timeouts
    assert isinstance(given, tuple)
    assert given[0] == 0.5
    assert 0 < given[1] <= 2.0


def test_what_was_never_sent_is_an_exception_of_requests_and_of_the_client(
    retries_of: RetriesOf, script: Script, session_of: SessionOf
) -> None:
    script.steps = [503]
    session = session_of(retries_of(breaker=BreakerPolicy(consecutive_failures=1, open=60, max_open=60)))
    session.post(URL)

    with pytest.raises(CallRefused) as caught:
        session.get(URL)

    assert isinstance(caught.value, RequestsRefused)
    assert isinstance(caught.value, requests.ConnectionError)


def test_ungoverned_retries_below_can_not_be_switched_on(retries_of: RetriesOf) -> None:
    with pytest.raises(TypeError):
        RetryAdapter(retries_of(), max_retries=5)  # type: ignore[call-arg]

    assert RetryAdapter(retries_of()).max_retries.total == 0
