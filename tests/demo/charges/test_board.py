import asyncio
from collections.abc import AsyncIterator
from html.parser import HTMLParser

import pytest

from sidecar.demo.charges.board import ChargesBoard, board_page
from sidecar.demo.reading import fetch
from tests.demo.charges.test_account import account

LIVE = "http://127.0.0.1:16000/#h-keys"


class Cells(HTMLParser):
    """The rows of the table, as their texts."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        self._inside = tag in ("td", "th")

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.rows[-1].append(data)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    board = ChargesBoard(lambda: (account(), False), LIVE)
    yield await board.start()
    board.stop()


async def test_the_page_has_the_table_of_the_terminal(port: int) -> None:
    status, body = await fetch(port, "/")
    cells = Cells()
    cells.feed(body.decode())

    assert status == 200
    assert ["charges", "80", "111"] in cells.rows
    assert ["orders charged twice or more", "0", "22"] in cells.rows
    assert f'href="{LIVE}"'.encode() in body


def test_it_is_read_again_until_it_is_over() -> None:
    during, after = board_page(account(), LIVE, over=False), board_page(account(), LIVE, over=True)

    assert 'http-equiv="refresh"' in during
    assert 'http-equiv="refresh"' not in after
    assert account().verdict() in after


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"GET /elsewhere HTTP/1.1\r\n\r\n", 404), (b"POST / HTTP/1.1\r\n\r\n", 405), (b"x\r\n\r\n", 405)],
)
async def test_another_request_is_refused(port: int, sent: bytes, status: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)

    answer = await reader.read(-1)
    writer.close()

    assert answer.startswith(b"HTTP/1.1 %d " % status)


async def test_a_head_has_the_length_and_no_body(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"HEAD / HTTP/1.1\r\n\r\n")

    answer = await reader.read(-1)
    writer.close()

    assert answer.endswith(b"\r\n\r\n")
    assert b"Content-Security-Policy: default-src 'none'" in answer
