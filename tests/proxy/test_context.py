"""What all connections share."""

import asyncio

from sidecar.proxy.context import ProxyContext
from sidecar.wire.misdirected import Misdirected
from sidecar.wire.reader import RequestReader
from tests.fakes.house import Notes


async def test_a_request_that_is_sent_nowhere_is_counted_and_told_of_with_its_host_and_without_its_query() -> None:
    notes = Notes()
    context = ProxyContext(asyncio.get_running_loop(), notes)
    head = RequestReader().feed(b"GET /cards?pan=1 HTTP/1.1\r\nHost: paymnets:80\r\nx-request-id: r1\r\n\r\n")
    assert head is not None

    context.misdirect(Misdirected(502, "unlisted", "no destination has this host"), head)

    [record] = notes.records
    assert context.misdirected["unlisted"] == 1
    assert (record.destination, record.method, record.target) == ("unlisted", "GET", "http://paymnets:80/cards")
    assert (record.status, record.refusal, record.request_id) == (502, "unlisted", "r1")
