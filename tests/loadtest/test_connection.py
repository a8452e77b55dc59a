"""An answer counts only if its status and its length are right, in however many pieces it comes."""

import asyncio
from itertools import pairwise, repeat

import pytest

from loadtest.connection import Connection

RIGHT = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def abort(self) -> None:
        self.aborted = True


class Ledger:
    """An owner that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float | str]] = []

    def answered(self, began: float) -> None:
        self.told.append(("answered", began))

    def free(self, connection: Connection) -> None:
        self.told.append(("free", connection.began))

    def lost(self, connection: Connection, reason: str) -> None:
        assert not connection.is_open
        self.told.append(("lost", reason))


def connected(ledger: Ledger) -> tuple[Connection, Wire]:
    connection, wire = Connection(repeat(b"GET /"), 5, bytearray(64), ledger), Wire()
    connection.connection_made(wire)
    return connection, wire


def feed(connection: Connection, *pieces: bytes) -> None:
    for piece in pieces:
        buffer = connection.get_buffer(-1)
        buffer[: len(piece)] = piece
        connection.buffer_updated(len(piece))


def test_sending_writes_the_whole_request() -> None:
    connection, wire = connected(Ledger())

    connection.send(1.5)

    assert wire.written == [b"GET /"]
    assert connection.busy


@pytest.mark.parametrize("cut", range(1, len(RIGHT)))
def test_a_right_answer_in_two_pieces_counts_once(cut: int) -> None:
    ledger = Ledger()
    connection, _ = connected(ledger)
    connection.send(1.5)

    feed(connection, RIGHT[:cut], RIGHT[cut:])

    assert ledger.told == [("answered", 1.5), ("free", 1.5)]


def test_a_connection_is_used_again_after_an_answer() -> None:
    ledger = Ledger()
    connection, _ = connected(ledger)

    for began in (1.0, 2.0):
        connection.send(began)
        feed(connection, *(RIGHT[start:end] for start, end in pairwise((0, 10, 40, len(RIGHT)))))

    assert ledger.told == [("answered", 1.0), ("free", 1.0), ("answered", 2.0), ("free", 2.0)]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nhello", "status 503"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell", "content-length 4"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "content-length absent"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!", "longer than announced"),
    ],
)
def test_a_wrong_answer_closes_the_connection_with_its_reason(answer: bytes, reason: str) -> None:
    ledger = Ledger()
    connection, wire = connected(ledger)
    connection.send(1.5)

    feed(connection, answer)

    assert ledger.told == [("lost", reason)]
    assert wire.aborted


def test_bytes_nobody_asked_for_are_an_error() -> None:
    ledger = Ledger()
    connection, _ = connected(ledger)

    feed(connection, RIGHT)

    assert ledger.told == [("lost", "bytes nobody asked for")]


def test_a_connection_that_closes_in_the_middle_of_an_answer_is_an_error() -> None:
    ledger = Ledger()
    connection, _ = connected(ledger)
    connection.send(1.5)
    feed(connection, RIGHT[:-1])

    connection.connection_lost(None)

    assert ledger.told == [("lost", "closed before the answer")]


def test_a_close_while_nothing_is_asked_has_no_reason() -> None:
    ledger = Ledger()
    connection, _ = connected(ledger)

    connection.connection_lost(None)

    assert ledger.told == [("lost", "")]


def test_an_answer_that_announces_the_close_counts_and_gives_the_connection_up() -> None:
    ledger = Ledger()
    connection, wire = connected(ledger)
    connection.send(1.5)

    feed(connection, b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n", b"hello")

    assert ledger.told == [("answered", 1.5), ("lost", "")]
    assert wire.aborted
