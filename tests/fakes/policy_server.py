"""An https server that a fleet's policy comes from: well-behaved as it is made, and otherwise as a test tells it."""

import asyncio
import hashlib
import ssl
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Self

import trustme

from tests.fakes.origin import Answer, Origin, Request, response


@cache
def authority() -> trustme.CA:
    """Whom the tests trust; made once, for a key takes time."""
    return trustme.CA()


def ca_file(folder: Path) -> Path:
    file = folder / "ca.pem"
    authority().cert_pem.write_to_path(str(file))
    return file


@cache
def _context(host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(host).configure_cert(context)
    return context


class PolicyServer(Origin):
    """Serves `files` by path, with ETags, on a free port of 127.0.0.1; `misbehave` answers instead while it is set."""

    def __init__(self, *, host: str = "127.0.0.1") -> None:
        super().__init__(self._serve_files)
        self.files: dict[str, bytes] = {}
        self.misbehave: Answer | None = None
        self.etag: Callable[[bytes], str] = lambda content: f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        self._host = host

    @property
    def url(self) -> str:
        """Of the policy."""
        return f"https://127.0.0.1:{self.port}/policy.yaml"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, ssl=_context(self._host), ssl_shutdown_timeout=0.1
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [request.line.split(" ")[1] for request in self.requests]

    async def _serve_files(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if self.misbehave is not None:
            await self.misbehave(request, writer)
            return
        content = self.files.get(request.line.split(" ")[1].partition("?")[0])
        if content is None:
            writer.write(response(404, b"nothing here"))
        elif request.header("if-none-match") == (etag := self.etag(content)):
            writer.write(f"HTTP/1.1 304 Not Modified\r\nETag: {etag}\r\n\r\n".encode())
        else:
            writer.write(response(200, content, f"ETag: {etag}", "Content-Type: application/yaml"))
