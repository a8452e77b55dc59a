"""The caller's side of HTTP, as light as it can be: one GET, kept-alive connections, a timeout."""

import asyncio
from collections.abc import Callable

import httptools


class Caller:
    """Sends GETs of one path to one address. All attempts of a request carry its id."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._head = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nx-request-id: "
        self._idle: list[_Connection] = []

    async def get(self, request_id: str, patience: float) -> int:
        """One attempt: the response's status. Raises TimeoutError after `patience` seconds, OSError when it is cut.

        An attempt that is given up closes its connection, which is all a server can ever learn about it.
        """
        async with asyncio.timeout(patience):
            connection = self._idle.pop() if self._idle else await self._connect()
            try:
                return await connection.ask(f"{self._head}{request_id}\r\n\r\n".encode())
            finally:
                if connection.reusable:
                    self._idle.append(connection)
                else:
                    connection.close()

    def close(self) -> None:
        """Close what is kept alive."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(self._forget), "127.0.0.1", self._port)
        return connection

    def _forget(self, connection: "_Connection") -> None:
        if connection in self._idle:
            self._idle.remove(connection)


class _Connection(asyncio.Protocol):
    def __init__(self, lost: "Callable[[_Connection], None]") -> None:
        self.reusable = False
        self._lost = lost
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None

    async def ask(self, head: bytes) -> int:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the connection was closed")
        self.reusable = False
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(head)
        return await self._answer

    def close(self) -> None:
        self.reusable = False
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's transport is a Transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def on_message_complete(self) -> None:
        self.reusable = self._parser.should_keep_alive()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(self._parser.get_status_code())

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        self._lost(self)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the connection was closed before a response"))
