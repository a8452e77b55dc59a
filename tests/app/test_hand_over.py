import json
import os
import queue
import socket
import stat
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from sidecar.app.hand_over import HandOver, HandOverFailed, take


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


class Predecessor:
    """Offers some sockets, and notes who is ready."""

    def __init__(self, place: Path, sockets: Mapping[str, socket.socket]) -> None:
        self.followers: queue.Queue[tuple[int, str]] = queue.Queue()
        self.hand_over = HandOver(place, lambda: sockets, lambda pid, version: self.followers.put((pid, version)))
        self.hand_over.open()


def test_sockets_go_to_the_one_that_asks_and_their_queues_with_them(tmp_path: Path, listening: socket.socket) -> None:
    place = tmp_path / "sock"
    closed = socket.socket()
    closed.close()
    predecessor = Predecessor(place, {"a": listening, "closed": closed})
    with socket.create_connection(listening.getsockname()) as waiting:
        taken = take(place)
        assert taken is not None
        taken.ready()
        listening.close()
        waiting.sendall(b"hello")

        connection, _ = taken.sockets["a"].accept()

        with connection:
            assert connection.recv(5) == b"hello"
    assert list(taken.sockets) == ["a"]
    assert taken.pid == os.getpid()
    assert predecessor.followers.get(timeout=10)[0] == os.getpid()
    predecessor.hand_over.close()
    for sock in taken.sockets.values():
        sock.close()


def test_more_sockets_than_one_message_can_carry_are_all_there(tmp_path: Path) -> None:
    many = {str(number): socket.create_server(("127.0.0.1", 0)) for number in range(450)}
    predecessor = Predecessor(tmp_path / "sock", many)

    taken = take(tmp_path / "sock")

    assert taken is not None
    names = {name: sock.getsockname() for name, sock in taken.sockets.items()}
    assert names == {name: sock.getsockname() for name, sock in many.items()}
    for sock in (*many.values(), *taken.sockets.values(), taken.connection):
        sock.close()
    predecessor.hand_over.close()


def test_one_that_ends_before_it_is_ready_leaves_the_place_to_the_next(
    tmp_path: Path, listening: socket.socket
) -> None:
    predecessor = Predecessor(tmp_path / "sock", {"a": listening})
    failed = take(tmp_path / "sock")
    assert failed is not None
    failed.connection.close()
    failed.sockets["a"].close()

    taken = take(tmp_path / "sock")

    assert taken is not None
    assert predecessor.followers.empty()
    taken.ready()
    assert predecessor.followers.get(timeout=10)
    taken.sockets["a"].close()
    predecessor.hand_over.close()


def test_where_no_sidecar_is_there_is_nothing_to_take(tmp_path: Path) -> None:
    stale = tmp_path / "stale"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(stale))

    assert take(tmp_path / "absent") is None
    assert take(stale) is None


def test_the_place_is_for_this_user_alone_and_the_successors_is_left_in_it(tmp_path: Path) -> None:
    place = tmp_path / "sock"
    first, second = Predecessor(place, {}), Predecessor(place, {})

    first.hand_over.close()

    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    second.hand_over.close()
    assert not place.exists()


def test_a_file_in_its_place_is_not_touched(tmp_path: Path) -> None:
    place = tmp_path / "notes"
    place.write_text("mine")

    with pytest.raises(HandOverFailed, match=f"--hand-over {place}: there is a file of that name that is no socket"):
        Predecessor(place, {})

    assert place.read_text() == "mine"


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(HandOverFailed, match="No such file"):
        Predecessor(tmp_path / "absent" / "sock", {})


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "has ended, or speaks another protocol"),
        (b"SSH-2.0\n", "can not take over"),
        (b"[]\n", "speaks another protocol"),
        (b'{"sockets": ["a"], "pid": 1, "sidecar": "9"}\n', "has ended"),
        (json.dumps({"refused": "this sidecar hands over by protocol 2 alone"}).encode() + b"\n", "protocol 2 alone"),
    ],
)
def test_whatever_else_answers_there_is_one_clear_message(tmp_path: Path, answer: bytes, words: str) -> None:
    place = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen()

        def reply() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=reply)
        thread.start()
        with pytest.raises(HandOverFailed, match=words):
            take(place)
        thread.join(10)


def test_a_successor_of_another_protocol_is_refused(tmp_path: Path) -> None:
    predecessor = Predecessor(tmp_path / "sock", {})
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(tmp_path / "sock"))
        sock.sendall(b'{"hand_over": 2}\n')

        answer = json.loads(sock.recv(4096))

    assert "by protocol 1 alone" in answer["refused"]
    predecessor.hand_over.close()
