"""A TCP relay that a test switches: the address of a service that fails over, or a link that is cut."""

import asyncio
from contextlib import suppress
from types import TracebackType


class Relay:
    """Listens on a port of its own, and passes bytes to and from `target`, a port; None: connections are closed.

    While `held` nothing is passed on: what is sent meanwhile is lost if the connection ends then.
    """

    def __init__(self, target: int | None) -> None:
        self.target = target
        self.port = 0
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Relay":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self.switch(None)

    def hold(self) -> None:
        """Pass nothing on from now on."""
        self._open.clear()

    async def switch(self, target: int | None) -> None:
        """Close all connections, and lead new ones to another target."""
        self.target = target
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._open.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        other: asyncio.StreamWriter | None = None
        try:
            if self.target is not None:
                with suppress(OSError):
                    back, other = await asyncio.open_connection("127.0.0.1", self.target)
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._pass(reader, other))
                        group.create_task(self._pass(back, writer))
        except (asyncio.CancelledError, ExceptionGroup):
            pass  # one side has ended, or the relay was switched
        finally:
            self._tasks.discard(task)
            for end in (writer, other):
                if end is not None:
                    end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError("one side has ended")
