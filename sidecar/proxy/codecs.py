"""The protocol of a connection to an endpoint: chosen after the TLS handshake (ALPN), or by configuration.

A codec is a class of connections that offer streams (`stream.UpstreamConnection`). To add one is to name it here; the
pool and the exchange know streams only.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol, cast

from msgspec import Struct

from sidecar.proxy.context import ProxyContext
from sidecar.proxy.stream import ConnectionOwner, UpstreamConnection
from sidecar.proxy.upstream import Upstream


class ConnectionProtocol(UpstreamConnection, Protocol):
    """A connection as the event loop sees it too."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""


CodecOf = Callable[[ProxyContext, ConnectionOwner], ConnectionProtocol]


class NewConnection(Protocol):
    """A connection that is being made."""

    @property
    def protocol(self) -> asyncio.Protocol:
        """The protocol object for the event loop."""

    @property
    def connection(self) -> UpstreamConnection:
        """The connection, once it is open."""

    def give_up(self) -> None:
        """It is not wanted any more, open or not."""


class Codecs(Struct, frozen=True):
    """`clear` is spoken without TLS; in TLS what ALPN has chosen of `by_alpn`, its first where nothing was chosen."""

    clear: CodecOf
    by_alpn: Mapping[str, CodecOf]

    @property
    def alpn(self) -> tuple[str, ...]:
        """The protocols that are offered to an endpoint in TLS, the preferred one first."""
        return tuple(self.by_alpn)

    def connection(self, context: ProxyContext, owner: ConnectionOwner, *, secure: bool) -> NewConnection:
        """A connection to be made to `owner`, which speaks TLS if it is `secure`."""
        if not secure:
            return _Known(self.clear(context, owner))
        if len(self.by_alpn) == 1:
            return _Known(next(iter(self.by_alpn.values()))(context, owner))
        return _ByAlpn(context, owner, self.by_alpn)


class _Known:
    """Its protocol is known beforehand."""

    def __init__(self, connection: ConnectionProtocol) -> None:
        self.connection = connection
        self.give_up = connection.give_up

    @property
    def protocol(self) -> asyncio.Protocol:
        return cast("asyncio.Protocol", self.connection)


class _ByAlpn(asyncio.Protocol):
    """Becomes the connection that ALPN has chosen, when the handshake is over and before any byte is read."""

    def __init__(self, context: ProxyContext, owner: ConnectionOwner, by_alpn: Mapping[str, CodecOf]) -> None:
        self._context = context
        self._owner = owner
        self._by_alpn = by_alpn
        self._chosen: ConnectionProtocol | None = None

    @property
    def protocol(self) -> asyncio.Protocol:
        return self

    @property
    def connection(self) -> UpstreamConnection:
        assert self._chosen is not None
        return self._chosen

    def give_up(self) -> None:
        if self._chosen is not None:
            self._chosen.give_up()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        word = transport.get_extra_info("ssl_object").selected_alpn_protocol()
        codec = self._by_alpn.get(word) or next(iter(self._by_alpn.values()))
        self._chosen = codec(self._context, self._owner)
        cast("asyncio.Transport", transport).set_protocol(cast("asyncio.BaseProtocol", self._chosen))
        self._chosen.connection_made(transport)


HTTP1: Final = Codecs(Upstream, {"http/1.1": Upstream})
