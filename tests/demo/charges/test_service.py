import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sidecar.demo.charges.payer import asking
from sidecar.demo.charges.play import AnswerFate, ChargePlay
from sidecar.demo.charges.service import BY_KEY, COUNTS, PAYMENTS, PaymentConnection, PaymentService
from sidecar.demo.reading import fetch

ALL_GIVEN = ChargePlay(1.0, lost=0.0, late=0.0, work=0.0)
ALL_LOST = ChargePlay(1.0, lost=1.0, late=0.0, work=0.0)


@pytest.fixture
async def port(request: pytest.FixtureRequest) -> AsyncIterator[int]:
    service = PaymentService(getattr(request, "param", ALL_GIVEN), 1)
    server = await asyncio.get_running_loop().create_server(lambda: PaymentConnection(service), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def told(port: int, path: str = COUNTS) -> tuple[int, dict[str, Any]]:
    status, body = await fetch(port, path)
    return status, json.loads(body)


async def test_each_request_charges_again_and_the_counts_say_so(port: int) -> None:
    pay = asking(port, keyed=False)

    assert [await pay(order) for order in ("a", "b", "b", "b")] == [201] * 4
    _, counts = await told(port)

    assert counts["by_order"] == {"a": 1, "b": 3}
    assert (counts["orders"], counts["charges"], counts["twice"], counts["most"]) == (2, 4, 1, 3)
    assert (counts["requests"], counts["lost"], counts["late"]) == (4, 0, 0)


@pytest.mark.parametrize("port", [ALL_LOST], indirect=True)
async def test_an_answer_that_is_lost_has_charged(port: int) -> None:
    with pytest.raises(ConnectionResetError):
        await asking(port, keyed=False)("a")

    _, counts = await told(port)

    assert (counts["by_order"], counts["lost"]) == ({"a": 1}, 1)


def test_a_late_answer_takes_longer_than_a_client_waits() -> None:
    play = ChargePlay(1.0)
    service = PaymentService(play, 1)

    assert service.seconds_until_answer(AnswerFate.LATE) > play.patience
    assert service.seconds_until_answer(AnswerFate.GIVEN) < play.patience


async def test_it_tells_a_probe_what_was_done_for_a_key(port: int) -> None:
    before, _ = await told(port, f"{BY_KEY}a")
    await asking(port, keyed=True)("a")

    after, answer = await told(port, f"{BY_KEY}a")

    assert (before, after) == (404, 200)
    assert answer == {"order": "a", "charges": 1}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"\xff"])
async def test_a_body_without_an_order_is_400_and_charges_nothing(port: int, body: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {PAYMENTS} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)

    answer = await reader.read(-1)
    writer.close()

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert (await told(port))[1]["charges"] == 0


async def test_what_is_no_http_ends_the_connection(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"nonsense\r\n\r\n")

    with pytest.raises(ConnectionResetError):
        if await reader.read(-1) == b"":
            raise ConnectionResetError
    writer.close()


async def test_another_path_is_404(port: int) -> None:
    status, _ = await told(port, "/elsewhere")

    assert status == 404
