"""A server in a thread, on blocking sockets: it says what it is told to, byte for byte, in TLS or without."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

Talk = Callable[[socket.socket], None]


@contextlib.contextmanager
def peer(talk: Talk, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a server that has `talk` with each client, and then closes the connection without a word."""
    listening = socket.create_server(("127.0.0.1", 0))
    open_sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if context is not None:
                client = context.wrap_socket(client, server_side=True, suppress_ragged_eofs=False)
                open_sockets.append(client)
            talk(client)
        # A socket that is only closed sends no close_notify.
        client.close()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                client.settimeout(10)
                open_sockets.append(client)
                threads.append(threading.Thread(target=serve, args=(client,)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield listening.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        accepting.join(5)
        for sock in open_sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in threads:
            thread.join(5)


def read_head(sock: socket.socket) -> bytes:
    """Everything until an empty line; OSError when the client has gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            raise ConnectionResetError
        data += piece
    return data
