"""The admin plane's listeners: everything on loopback, and on request a second one for kubelet and scrapers."""

import asyncio
import logging
import socket
from collections.abc import Callable, Collection

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from sidecar.admin.guard import Guard, counting
from sidecar.admin.live import Live
from sidecar.admin.live_page import LivePage
from sidecar.admin.state import AdminState
from sidecar.admin.token import AdminToken
from sidecar.admin.views import Views
from sidecar.connection_limit import ConnectionLimit
from sidecar.governance.loading.updater import Tell
from sidecar.net import Address
from sidecar.telemetry.exporter import MetricsExporter


class AdminServer:
    """Serves one AdminState.

    `hosts` are names it may be called by beside loopback's and any address. Whatever changes something must show
    `token`, and is told to `tell`. `clock` gives the engine's time, in seconds.
    """

    def __init__(
        self, state: AdminState, clock: Callable[[], float], token: AdminToken, tell: Tell, hosts: Collection[str] = ()
    ) -> None:
        self._views = Views(state, MetricsExporter(state, clock), clock)
        self._page = LivePage(Live(state, clock))
        self._guard = Guard(hosts, token, tell, clock)
        self._listening: list[tuple[asyncio.Server, web.AppRunner]] = []
        self._log = logging.getLogger("sidecar.admin.http")
        self._log.addFilter(_is_ours)

    async def start(self, sock: socket.socket, *, probes_only: bool = False) -> Address:
        """Serve a listening socket as well, which is the server's from now on; returns its address."""
        loop = asyncio.get_running_loop()
        limit = ConnectionLimit(loop.call_later)
        app = web.Application(middlewares=[counting(limit), self._guard.middleware], client_max_size=64 * 1024)
        app.add_routes(self._views.probes() if probes_only else [*self._page.routes(), *self._views.everything()])
        runner = web.AppRunner(app, access_log=None, logger=self._log, shutdown_timeout=1.0)
        await runner.setup()
        handlers = runner.server
        assert handlers is not None
        name = sock.getsockname()
        server = await loop.create_server(lambda: limit.counted(handlers()), sock=sock)
        self._listening.append((server, runner))
        return Address(name[0], name[1])

    async def stop(self) -> None:
        """Close every listener; answers under way get a second to end."""
        self._page.close()
        while self._listening:
            server, runner = self._listening.pop()
            server.close()
            await runner.cleanup()


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a line is about us: bytes that are no HTTP are answered, and may not fill the log with tracebacks."""
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)
