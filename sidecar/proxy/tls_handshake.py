"""A caller's connection until its TLS handshake is over: it takes a place, and has no longer than a head may take.

asyncio's own TLS server tells of a connection after its handshake only: those that never finish one would be counted
and without a bound.
"""

import asyncio
import contextlib
import socket
import ssl
from typing import Protocol

from sidecar.proxy.context import ProxyContext
from sidecar.proxy.downstream import Downstream, Port
from sidecar.proxy.tls import SHAKING_ON, SHUTDOWN_SECONDS, ServerTls, failure_of


class HandshakePort(Port, Protocol):
    """The listener a connection came in on, as far as TLS concerns it."""

    def arrived(self, handshake: "TlsHandshake") -> None:
        """A connection was accepted, and no request can come yet."""

    def gone(self, handshake: "TlsHandshake") -> None:
        """Its handshake is over: it is a Downstream now, or closed."""


class TlsHandshake:
    """Shakes hands on one accepted socket, and leaves what comes of it to a Downstream."""

    def __init__(self, context: ProxyContext, port: HandshakePort, tls: ServerTls, sock: socket.socket) -> None:
        self._context = context
        self._port = port
        context.connections += 1
        port.arrived(self)
        self._task = context.loop.create_task(self._shake_hands(tls, sock))

    def abort(self) -> None:
        """Break off."""
        self._task.cancel()

    async def _shake_hands(self, tls: ServerTls, sock: socket.socket) -> None:
        context = self._context
        try:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            SHAKING_ON.set(sock)
            async with asyncio.timeout(context.limits.head_timeout):
                await context.loop.connect_accepted_socket(
                    lambda: Downstream(context, self._port),
                    sock,
                    ssl=tls.context,
                    ssl_handshake_timeout=context.limits.head_timeout + 1.0,  # ours comes first, and has a name
                    ssl_shutdown_timeout=SHUTDOWN_SECONDS,
                )
        except (OSError, ssl.SSLError) as error:
            word = failure_of(error).value
            context.handshake_failures[word] = context.handshake_failures.get(word, 0) + 1
            sock.close()
        except BaseException:
            sock.close()
            raise
        finally:
            context.connections -= 1
            self._port.gone(self)
