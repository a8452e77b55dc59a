import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sidecar.net import Address
from sidecar.watch.readiness import NotAnswered, Readiness, ask


@contextmanager
def answering(*pieces: bytes, hangs: bool = False, host: str = "127.0.0.1") -> Iterator[Address]:
    """A listener that answers its first caller so, and then closes the connection or leaves it open."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    done = threading.Event()
    with socket.create_server((host, 0), family=family) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                while b"\r\n\r\n" not in connection.recv(4096):
                    pass
                for piece in pieces:
                    connection.sendall(piece)
                if hangs:
                    done.wait(10)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield Address(host, listener.getsockname()[1])
        done.set()
        thread.join(10)


def said(status: bytes, **document: object) -> bytes:
    return b"HTTP/1.0 " + status + b"\r\nContent-Type: application/json\r\n\r\n" + json.dumps(document).encode()


def test_a_sidecar_that_is_ready_says_so_with_its_warnings() -> None:
    with answering(said(b"200 OK", ready=True, reasons=[], warnings=["unmanaged"])) as address:
        readiness = ask(address, 5.0)

    assert readiness == Readiness(ready=True, reasons=[], warnings=["unmanaged"])


def test_one_that_is_not_says_why() -> None:
    whole = said(b"503 Service Unavailable", ready=False, reasons=["draining"], warnings=[])
    with answering(whole[:30], whole[30:]) as address:
        readiness = ask(address, 5.0)

    assert not readiness.ready
    assert readiness.reasons == ["draining"]


def test_an_address_that_stands_for_all_is_asked_on_loopback() -> None:
    with answering(said(b"200 OK", ready=True, reasons=[], warnings=[]), host="0.0.0.0") as address:
        assert ask(address, 5.0).ready


def test_a_port_where_nothing_listens_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address("127.0.0.1", listener.getsockname()[1])

    with pytest.raises(NotAnswered, match=rf"no sidecar answers at http://{address}/readyz: "):
        ask(address, 5.0)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no sidecar's: it answered bytes that are no HTTP"),
        (b"HTTP/1.0 404 Not Found\r\n\r\nno such page", "no sidecar's: it answered 404"),
        (said(b"200 OK", ready=True), "no sidecar's: it answered 200"),
        (said(b"200 OK", ready="yes", reasons=[], warnings=[]), "does not say what a sidecar of this version says"),
        (said(b"200 OK", ready=True, reasons="none", warnings=[]), "does not say what a sidecar of this version says"),
        (b"", "no sidecar's: it answered bytes that are no HTTP"),
    ],
)
def test_another_server_is_told_by_its_answer(answer: bytes, words: str) -> None:
    with answering(answer) as address, pytest.raises(NotAnswered, match=words):
        ask(address, 5.0)


def test_one_that_never_finishes_is_given_up() -> None:
    with answering(b"HTTP/1.0 200 OK\r\n", hangs=True) as address, pytest.raises(NotAnswered, match=r"within 0\.2 s"):
        ask(address, 0.2)


def test_one_that_sends_a_little_now_and_then_gets_no_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))

    with answering(b"HTTP/1.0 200 OK\r\n", b"x" * 10, hangs=True) as address:
        with pytest.raises(NotAnswered, match="within 3 s"):
            ask(address, 3.0)
