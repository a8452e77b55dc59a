"""The live page: its files, the stream that feeds it, and the same as JSON. Read-only.

A viewer that reads slowly costs one message and the socket's buffer: it is not sent what it has missed one by one, but
what is missing when it has caught up. One that does not read at all is dropped.
"""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

from sidecar.admin.documentation import Documentation
from sidecar.admin.guard import SECURITY_HEADERS, problem
from sidecar.admin.live import Live, encode
from sidecar.telemetry.history import ROW_SECONDS, ROWS

FOLDER: Final = Path(__file__).parent / "page"
FILES: Final = {
    "index.html": "text/html",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "charts.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MAX_VIEWERS: Final = 16
STALLED_SECONDS: Final = 20.0
RETRY_MS: Final = 1000
"""Milliseconds after which a browser asks again when the stream has ended."""


class LivePage:
    """The routes over one Live."""

    def __init__(self, live: Live, folder: Path = FOLDER) -> None:
        self.viewers = 0
        self._live = live
        self._folder = folder
        self._files: dict[str, bytes] = {}
        self._documentation = Documentation()
        self._closing = asyncio.Event()
        self._frame: tuple[int, bytes] = (-1, b"")

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        return [
            web.get("/", self.index),
            web.get("/events", self.events, allow_head=False),
            web.get("/runbooks/{name}", self.runbook),
            web.get("/refusals", self.refusals),
            web.get("/refusals/{word}", self.refusal),
            *(web.get(f"/{name}", self._serving(name)) for name in FILES if name != "index.html"),
        ]

    def close(self) -> None:
        """End the streams."""
        self._closing.set()

    async def index(self, request: web.Request) -> web.StreamResponse:
        """The page, or everything on it as JSON: `?format=json`, with the last `seconds=N` only."""
        form = request.query.get("format", "html")
        if form == "json":
            seconds = request.query.get("seconds", str(ROWS))
            if not seconds.isascii() or not seconds.isdigit() or not 1 <= int(seconds[:9]) <= ROWS:
                return problem(HTTPStatus.BAD_REQUEST, f"seconds: must be between 1 and {ROWS}, got {seconds[:20]!r}")
            body = await self._live.document(int(seconds))
            return web.Response(body=body + b"\n", content_type="application/json")
        if form != "html":
            return problem(HTTPStatus.BAD_REQUEST, f"format: must be html or json, got {form[:20]!r}")
        return self._file("index.html")

    async def runbook(self, request: web.Request) -> web.StreamResponse:
        """The runbook of an alert, by the alert's name; README lists them."""
        name = request.match_info["name"].removesuffix(".md")
        text = self._documentation.runbook(name)
        if text is None:
            return problem(HTTPStatus.NOT_FOUND, f"no alert is called {name[:100]!r}; see /runbooks/README")
        return web.Response(text=text, content_type="text/plain", charset="utf-8")

    async def refusals(self, request: web.Request) -> web.StreamResponse:
        """The meaning of each refusal and what to do."""
        return web.Response(text=self._documentation.refusals, content_type="text/plain", charset="utf-8")

    async def refusal(self, request: web.Request) -> web.StreamResponse:
        """The meaning of one word and what to do."""
        word = request.match_info["word"].removesuffix(".md")
        text = self._documentation.refusal(word)
        if text is None:
            return problem(HTTPStatus.NOT_FOUND, f"no refusal is called {word[:100]!r}; see /refusals")
        return web.Response(text=text, content_type="text/plain", charset="utf-8")

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The stream."""
        if self.viewers >= MAX_VIEWERS:
            refused = problem(HTTPStatus.SERVICE_UNAVAILABLE, f"{MAX_VIEWERS} viewers are watching already")
            refused.headers[hdrs.RETRY_AFTER] = "10"
            return refused
        response = web.StreamResponse(headers={**SECURITY_HEADERS, hdrs.CONTENT_TYPE: "text/event-stream"})
        self.viewers += 1
        try:
            await response.prepare(request)
            await self._feed(request, response)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # the viewer has gone
        finally:
            self.viewers -= 1
        return response

    async def _feed(self, request: web.Request, response: web.StreamResponse) -> None:
        live = self._live
        closed = asyncio.ensure_future(self._closing.wait())
        try:
            await self._send(response, b"retry: %d\n\n" % RETRY_MS + _event("hello", live.hello()))
            sent = await self._catch_up(response, 0)
            while not self._closing.is_set() and request.transport is not None:
                turned = asyncio.ensure_future(live.turned())
                await asyncio.wait({turned, closed}, timeout=ROW_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                turned.cancel()
                if live.row - sent > 1:
                    sent = await self._catch_up(response, sent)
                elif live.row > sent:
                    sent = live.row
                    await self._send(response, self._latest())
        finally:
            closed.cancel()

    async def _catch_up(self, response: web.StreamResponse, first: int) -> int:
        """Send the rows from `first` on, a destination at a time, and the state; returns the number of the next row.

        Rows taken meanwhile are sent twice, or once more with the next: their numbers say which they are.
        """
        live = self._live
        row = live.row
        for name in live.names:
            if name in live.names:  # still: it may have been forgotten while an earlier one was sent
                await self._send(response, _event("rows", live.rows([name], max(first, live.first_row()))))
        await self._send(response, _event("now", live.now()))
        return row

    def _latest(self) -> bytes:
        """The last row and the state now: made once for all viewers."""
        live = self._live
        if self._frame[0] != live.row:
            frame = _event("rows", live.rows(live.names, live.row - 1)) + _event("now", live.now(live.noted_before))
            self._frame = (live.row, frame)
        return self._frame[1]

    async def _send(self, response: web.StreamResponse, block: bytes) -> None:
        async with asyncio.timeout(STALLED_SECONDS):
            await response.write(block)

    def _serving(self, name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def serve(_: web.Request) -> web.StreamResponse:
            return self._file(name)

        return serve

    def _file(self, name: str) -> web.Response:
        if name not in self._files:
            self._files[name] = (self._folder / name).read_bytes()
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
        return web.Response(body=self._files[name], content_type=FILES[name], charset="utf-8", headers=headers)


def _event(kind: str, message: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), encode(message))
