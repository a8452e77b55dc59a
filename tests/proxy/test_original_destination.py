import socket
import struct

import pytest

from sidecar.net import Address
from sidecar.proxy.original_destination import original_destination


class RedirectedSocket:
    """A socket for which the kernel remembers where it was going."""

    def __init__(self, family: int, packed: bytes | None, own: tuple[str, int]) -> None:
        self.family = family
        self._packed = packed
        self._own = own
        self.asked: tuple[int, int, int] | None = None

    def getsockopt(self, level: int, option: int, length: int) -> bytes:
        self.asked = (level, option, length)
        if self._packed is None:
            raise FileNotFoundError(2, "No such file or directory")
        return self._packed

    def getsockname(self) -> tuple[str, int]:
        return self._own


def name4(host: str, port: int) -> bytes:
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(host) + bytes(8)


def name6(host: str, port: int) -> bytes:
    packed = socket.inet_pton(socket.AF_INET6, host)
    return struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", port, 0) + packed + bytes(4)


@pytest.mark.parametrize(
    ("family", "packed", "own", "asked"),
    [
        (socket.AF_INET, name4("10.0.0.7", 8080), ("127.0.0.1", 16007), (0, 80, 16)),
        (socket.AF_INET6, name6("fd00::7", 8080), ("::1", 16007), (41, 80, 28)),
    ],
)
def test_the_kernel_is_asked_in_the_terms_of_each_version_of_ip(
    family: int, packed: bytes, own: tuple[str, int], asked: tuple[int, int, int]
) -> None:
    sock = RedirectedSocket(family, packed, own)

    found = original_destination(sock)  # type: ignore[arg-type]

    assert found in {Address("10.0.0.7", 8080), Address("fd00::7", 8080)}
    assert sock.asked == asked


def test_a_connection_that_nothing_redirected_was_going_nowhere_else() -> None:
    here = ("127.0.0.1", 16007)

    assert original_destination(RedirectedSocket(socket.AF_INET, None, here)) is None  # type: ignore[arg-type]
    assert original_destination(RedirectedSocket(socket.AF_INET, name4(*here), here)) is None  # type: ignore[arg-type]


def test_a_real_connection_to_loopback_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        accepted, _ = server.accept()
        with accepted:
            assert original_destination(accepted) is None
