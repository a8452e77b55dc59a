"""A process gives its listening sockets to the one that takes its place, over a Unix socket, and drains.

Connections wait in the queue of a listening socket, which lives as long as any process has it open; so none is refused
or reset in between. (With SO_REUSEPORT each process has a queue of its own, and the kernel resets what waits in the one
that is closed.) HAProxy's `-x` and Envoy's hot restart do the same.

The successor connects and says `{"hand_over": 1, …}`; it is answered with the names of the sockets, and the sockets
(SCM_RIGHTS); it starts, and says `ready`; the other one stops accepting, says `done`, and drains. Where the successor
ends before it is ready, nothing has happened. Each message is a line of JSON; unknown fields are passed over, so that
versions can take over from each other.
"""

import array
import json
import os
import socket
import stat
import struct
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from sidecar import __version__

_PROTOCOL: Final = 1
_SECONDS: Final = 10.0
"""For each message but the last: the successor may take `_START_SECONDS` until it is ready."""
_START_SECONDS: Final = 120.0
_MOST_BYTES: Final = 1 << 20
_AT_ONCE: Final = 200
"""Descriptors in one message; Linux takes 253 (SCM_MAX_FD)."""


class HandOverFailed(OSError):
    """Sockets could not be taken over, or offered; the message is one line that says why."""


class Taken(Struct, frozen=True):
    """The sockets that another process has given, and the connection to it. `pid` and `version` are the other one's."""

    sockets: Mapping[str, socket.socket]
    pid: int
    version: str
    connection: socket.socket

    def ready(self) -> None:
        """Say that this process serves: the other one stops accepting, and has when this returns; waits for that."""
        with self.connection:
            try:
                _send(self.connection, {"ready": True})
                _receive(self.connection)
            except (OSError, ValueError):
                pass  # it has ended meanwhile, and has stopped accepting by that


def take(path: Path) -> Taken | None:
    """The sockets of the sidecar that offers them at `path`; None where there is none. Raises HandOverFailed."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_SECONDS)
    sockets: list[socket.socket] = []
    try:
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            return None
        _require_same_user(connection)
        _send(connection, {"hand_over": _PROTOCOL, "sidecar": __version__, "pid": os.getpid()})
        offer, sockets = _receive_with_sockets(connection)
        if "refused" in offer:
            raise HandOverFailed(0, f"--hand-over {path}: refused: {offer['refused']}")
        given = dict(zip(map(str, offer["sockets"]), sockets, strict=True))
        return Taken(given, int(offer["pid"]), str(offer["sidecar"]), connection)
    except HandOverFailed:
        _close(connection, *sockets)
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        _close(connection, *sockets)
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        raise HandOverFailed(0, f"--hand-over {path}: can not take over: {reason}") from error


class HandOver:
    """Offers this process's listening sockets at a path, to one successor.

    `sockets` gives them by name, and `handed_over` is called with the successor's pid and version once that is ready;
    both on another thread.
    """

    def __init__(
        self, path: Path, sockets: Callable[[], Mapping[str, socket.socket]], handed_over: Callable[[int, str], None]
    ) -> None:
        self._path = path
        self._sockets = sockets
        self._handed_over = handed_over
        self._listener: socket.socket | None = None
        self._place: tuple[int, int] | None = None

    def open(self) -> None:
        """Offer them from now on, in place of what is at the path. Raises HandOverFailed."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if self._path.exists() and not stat.S_ISSOCK(self._path.lstat().st_mode):
                raise FileExistsError(0, "there is a file of that name that is no socket")
            # In a folder of our own first, and then by one rename: no one finds it before it has its mode and listens.
            with tempfile.TemporaryDirectory(prefix=".", dir=self._path.parent) as folder:
                place = Path(folder) / "s"
                listener.bind(str(place))
                place.chmod(0o600)
                listener.listen(4)
                found = place.stat()
                place.rename(self._path)
        except OSError as error:
            listener.close()
            raise HandOverFailed(0, f"--hand-over {self._path}: {error.strerror or error}") from error
        self._listener, self._place = listener, (found.st_dev, found.st_ino)
        threading.Thread(target=self._serve, args=(listener,), name="hand-over", daemon=True).start()

    def close(self) -> None:
        """Offer them no longer."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        with suppress(OSError):
            found = self._path.lstat()
            if (found.st_dev, found.st_ino) == self._place:  # else it is the successor's
                self._path.unlink()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        listener.close()

    def _serve(self, listener: socket.socket) -> None:
        """One successor after the other, until one of them is ready."""
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError, ValueError):
                connection.settimeout(_SECONDS)
                _require_same_user(connection)
                if self._give(connection):
                    return

    def _give(self, connection: socket.socket) -> bool:
        hello = _receive(connection)
        if hello.get("hand_over") != _PROTOCOL:
            _send(connection, {"refused": f"this sidecar, {__version__}, hands over by protocol {_PROTOCOL} alone"})
            return False
        sockets = {name: sock for name, sock in self._sockets().items() if sock.fileno() != -1}
        offer = {"hand_over": _PROTOCOL, "sidecar": __version__, "pid": os.getpid(), "sockets": list(sockets)}
        _send(connection, offer)
        _send_sockets(connection, [sock.fileno() for sock in sockets.values()])
        connection.settimeout(_START_SECONDS)
        if not _receive(connection).get("ready"):
            return False
        self._handed_over(int(hello.get("pid", 0)), str(hello.get("sidecar", "")))
        _send(connection, {"done": True})
        return True


def _require_same_user(connection: socket.socket) -> None:
    """Raises PermissionError unless the process at the other end is this user's, or root's (unix(7), SO_PEERCRED)."""
    _, user, _ = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    if user not in (os.getuid(), 0):
        raise PermissionError(0, f"the process at the other end is of another user, {user}")


def _send(connection: socket.socket, message: Mapping[str, object]) -> None:
    connection.sendall(json.dumps(message).encode("ascii") + b"\n")


def _send_sockets(connection: socket.socket, descriptors: list[int]) -> None:
    """In messages of one byte each, which carry as many of them as one can."""
    for first in range(0, len(descriptors), _AT_ONCE):
        socket.send_fds(connection, [b"."], descriptors[first : first + _AT_ONCE])


def _receive(connection: socket.socket) -> dict[str, Any]:
    """One message, read byte by byte: what follows it carries sockets. Raises ValueError for anything else."""
    line = bytearray()
    while not line.endswith(b"\n"):
        if len(line) >= _MOST_BYTES or not (byte := connection.recv(1)):
            raise ValueError("the other process has ended, or speaks another protocol")
        line += byte
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("the other process speaks another protocol")  # noqa: TRY004 - a value of the wire
    return message


def _receive_with_sockets(connection: socket.socket) -> tuple[dict[str, Any], list[socket.socket]]:
    message = _receive(connection)
    sockets: list[socket.socket] = []
    wanted = len(message.get("sockets", ()))
    while len(sockets) < wanted:
        data, descriptors, _, _ = socket.recv_fds(connection, 1, _AT_ONCE)
        sockets += [socket.socket(fileno=descriptor) for descriptor in array.array("i", descriptors)]
        if not data:
            _close(*sockets)
            raise ValueError("the other process has ended")
    return message, sockets


def _close(*sockets: socket.socket) -> None:
    for sock in sockets:
        sock.close()
