"""Connections of which no more is read than a policy can need, whatever the server sends.

aiohttp bounds the fields of a head, and nothing else: interim responses and chunk extensions may go on for ever, at the
speed of the wire, and cost a core until the time is over. Here a connection is broken off by its bytes and its heads.
"""

import asyncio
import ssl
from functools import partial
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

from sidecar.governance.documents.yaml import SIZE_CEILING_BYTES

BYTES_CEILING: Final = SIZE_CEILING_BYTES + (256 << 10)
"""A whole document, its chunks' sizes and its head."""
INTERIM_CEILING: Final = 16
"""1xx responses before the final one (RFC 9110 §15.2)."""


class TooMuchSent(aiohttp.ClientError):
    """A server has sent more than there can be to say; its text says of what."""


class BoundedConnector(aiohttp.TCPConnector):
    """One connection for each request, bounded in bytes and interim responses. Raises TooMuchSent from a request."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(ssl=context, force_close=True)
        self._factory = partial(_BoundedResponse, loop=asyncio.get_running_loop())  # type: ignore[assignment]


class _BoundedResponse(ResponseHandler):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._bytes = 0
        self._interim = 0

    def data_received(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes > BYTES_CEILING:
            self._break_off(f"sent more than {BYTES_CEILING >> 10}KiB")
        else:
            super().data_received(data)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """A head has been read: `data` is the message and its body."""
        self._interim += 100 <= data[0].code < 200
        if self._interim > INTERIM_CEILING:
            self._break_off(f"sent more than {INTERIM_CEILING} interim responses")
        else:
            super().feed_data(data, size)

    def _break_off(self, reason: str) -> None:
        error = TooMuchSent(reason)
        body = self._payload
        if self.transport is not None:
            self.transport.abort()
        if body is not None and not body.is_eof():
            body.set_exception(error)
        self.set_exception(error)
