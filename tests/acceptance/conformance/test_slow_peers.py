"""Slow is not gone: who takes a little now and then is waited for; who takes nothing is at fault and given up."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.conformance.rig import GET, Peer, Rig, running

LINE = b"HTTP/1.1 200 OK\r\n"
SIZE = 24 << 20
"""More than the kernel holds for both connections."""
IDLE = 0.4
POST = b"POST /x HTTP/1.1\r\nHost: payments\r\n"


@pytest.fixture(scope="module")
def impatient_sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(
        tmp_path_factory.mktemp("impatient"), timeout="2s", idle="400ms", limits="{idle_timeout: 400ms}"
    ) as rig:
        yield rig


@pytest.fixture
def impatient(impatient_sidecar: Rig) -> Iterator[Rig]:
    """A sidecar that waits 0.4 s between two pieces of a body."""
    yield impatient_sidecar
    impatient_sidecar.settle()


def sip(peer: Peer, seconds: float) -> int:
    """Read a little now and then, for so long; how much it was."""
    taken = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        taken += len(peer.sock.recv(4096))
        time.sleep(0.01)  # what is tested is a peer that is slow
    return taken


def test_a_client_that_reads_slowly_is_waited_for(impatient: Rig) -> None:
    client = impatient.client()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.send(GET)
    server = impatient.server()
    server.message()
    with ThreadPoolExecutor() as aside:
        sent = aside.submit(server.send, LINE + b"Content-Length: %d\r\n\r\n" % SIZE + b"x" * SIZE)

        taken = sip(client, 4 * IDLE)

        assert 0 < taken < SIZE // 2
        client.reset()
        with contextlib.suppress(OSError):
            sent.result()


def test_a_server_that_reads_slowly_is_waited_for(impatient: Rig) -> None:
    client = impatient.client().send(POST + b"Content-Length: %d\r\n\r\n" % SIZE)
    server = impatient.server()
    server.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with ThreadPoolExecutor() as aside:
        sent = aside.submit(client.send, b"x" * SIZE)

        assert 0 < sip(server, 4 * IDLE) < SIZE // 2

        assert client.silent()
        client.reset()
        server.reset()
        with contextlib.suppress(OSError):
            sent.result()


def test_a_server_that_takes_nothing_of_an_upload_is_a_504_and_no_fault_of_the_clients(impatient: Rig) -> None:
    client = impatient.client().send(POST + b"Content-Length: %d\r\n\r\n" % SIZE)
    server = impatient.server()
    server.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    server.until(b"\r\n\r\n")
    with ThreadPoolExecutor() as aside:
        sent = aside.submit(client.send, b"x" * SIZE)

        answer = client.message()

        assert (answer.status, json.loads(answer.body)["reason"], answer.get("connection")) == (504, "timeout", "close")
        server.reset()
        with contextlib.suppress(OSError):
            sent.result()


def test_an_early_answer_is_delivered_even_if_the_server_resets_the_upload_right_behind_it(impatient: Rig) -> None:
    for _ in range(10):
        client = impatient.client().send(POST + b"Content-Length: %d\r\n\r\n" % SIZE)
        server = impatient.server()
        server.until(b"\r\n\r\n")
        with ThreadPoolExecutor() as aside:
            sent = aside.submit(client.send, b"x" * SIZE)
            server.until(b"x" * 100_000)
            server.send(b"HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno")
            server.close()  # with bytes unread: a reset, and what the sidecar writes then fails

            answer = client.message()

            client.close()
            with contextlib.suppress(OSError):
                sent.result()
        assert (answer.status, answer.body) == (413, b"no")
