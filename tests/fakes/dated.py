"""Servers that tell a date, right or wrong, and keep what was sent to them; each on a thread of its own."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate


@contextmanager
def dated(ahead: float = 0.0, tls: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[bytes]]]:
    """Its port, and the heads that it got; its clock is so many seconds ahead."""
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                connection.settimeout(10)
                spoken = connection if tls is None else tls.wrap_socket(connection, server_side=True)
                with spoken:
                    head = b""
                    while b"\r\n\r\n" not in head and (data := spoken.recv(4096)):
                        head += data
                    if head:
                        heads.append(head)
                        date = formatdate(time.time() + ahead, usegmt=True)
                        spoken.sendall(f"HTTP/1.1 405 No\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode())

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=answer, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listener.getsockname()[1], heads
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def free_port() -> int:
    """A port on loopback that was free just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
