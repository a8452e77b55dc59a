import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sidecar.net import Address
from sidecar.watch.document import Unreadable, decode, fetch, read
from tests.admin.scenery import storm
from tests.watch.documents import content_of


@contextmanager
def answering(status: int, body: bytes) -> Iterator[Address]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Address("127.0.0.1", server.server_port)
        finally:
            server.shutdown()
            thread.join()


def test_what_the_admin_port_says_can_be_read_whole() -> None:
    state = storm(20, after=-1)

    document = decode(content_of(state), "here")

    assert [one.name for one in document.destinations] == ["payments", "ledger", "search"]
    assert len(document.history.times) == 20
    assert sum(document.history.column("payments", "requests")) == state.destinations["payments"].tally.requests_total
    assert document.history.column("payments", "unheard-of") == [0.0] * 20


def test_a_port_where_nothing_listens_is_said_in_one_line() -> None:
    with answering(200, b"{}") as address:
        pass

    with pytest.raises(Unreadable, match=f"no sidecar answers at http://{address}/: Connection refused"):
        fetch(address, 60)


def test_another_server_is_told_by_its_answer() -> None:
    with answering(404, b"nothing") as address, pytest.raises(Unreadable, match=r"no sidecar's admin port: .* 404"):
        fetch(address, 60)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[1]", b"\xff\xfe", b'{"epoch": 1}'])
def test_something_else_is_not_taken_for_a_document(body: bytes) -> None:
    with answering(200, body) as address:
        content = fetch(address, 60)

    with pytest.raises(Unreadable, match="here does not say what a sidecar of this version says"):
        decode(content, "here")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"nothing\.json: No such file"):
        read(tmp_path / "nothing.json")
