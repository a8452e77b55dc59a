"""The record of an exchange: which ones have one, and what it says."""

import pytest

from sidecar.proxy.codecs import HTTP1
from tests.fakes.house import GENEROUS
from tests.fakes.origin import response
from tests.fakes.playbook import Stage

HALF = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


def test_a_good_answer_at_the_first_attempt_leaves_no_record() -> None:
    on = Stage(HTTP1)
    on.ask()

    on.http1.data_received(response(200))

    assert on.notes.records == []


def test_a_share_of_the_good_answers_has_a_record() -> None:
    on = Stage(HTTP1)
    on.context.sample = 0.5

    for _ in range(4):
        on.ask()
        on.http1.data_received(response(200))

    assert [(record.status, record.attempts) for record in on.notes.records] == [(200, ())] * 2


def test_a_record_has_the_place_of_each_attempt_in_its_time() -> None:
    on = Stage(HTTP1)
    on.ask()
    on.loop.advance(0.02)
    on.http1.data_received(response(503))
    while not on.streams:
        on.loop.advance(0.01)
    on.loop.advance(0.03)
    on.http1.data_received(response(200))

    (record,) = on.notes.records
    first, second = record.attempts
    assert [(one.number, one.kind, one.outcome) for one in record.attempts] == [
        (1, "first", "503"),
        (2, "retry", "200"),
    ]
    assert (first.began, first.seconds) == (0.0, pytest.approx(0.02))
    assert second.backoff > 0.0
    assert second.began >= first.seconds + second.backoff
    assert record.seconds == pytest.approx(second.began + second.seconds)


def test_a_slow_attempt_that_is_left_running_lowers_no_limit_and_has_a_record() -> None:
    on = Stage(HTTP1)
    client = on.ask(b"POST")
    before = on.destination.limiter.limit

    on.loop.advance(0.5)
    on.http1.data_received(response(201))

    (record,) = on.notes.records
    (attempt,) = record.attempts
    assert client.log == ["respond 201", "end"]
    assert on.destination.limiter.limit == before
    assert (record.status, attempt.outcome, attempt.late) == (201, "201", True)
    assert attempt.seconds == pytest.approx(0.5)


@pytest.mark.parametrize("ending", ["reset", "protocol", "timeout"])
def test_an_answer_that_breaks_off_is_committed(ending: str) -> None:
    on = Stage(HTTP1)
    on.ask()
    upstream = on.http1
    upstream.data_received(HALF)

    if ending == "reset":
        upstream.connection_lost(None)
    elif ending == "protocol":
        upstream.data_received(b"zz\r\n")
    else:
        on.loop.advance(GENEROUS.idle_timeout + 0.1)

    (record,) = on.notes.records
    assert (record.status, record.result, record.refusal) == (200, "fault", "committed")
    assert [attempt.outcome for attempt in record.attempts][-1] == ending


def test_the_record_names_the_id_that_the_endpoint_was_sent_and_no_query() -> None:
    on = Stage(HTTP1)
    on.ask(b"POST", b"/x?secret=1")
    sent = on.transports[0].take()

    on.http1.data_received(response(503))

    (record,) = on.notes.records
    assert record.request_id
    assert b"x-request-id: %b\r\n" % record.request_id.encode() in sent
    assert (record.method, record.target, record.refusal) == ("POST", "/x", "not_idempotent")
