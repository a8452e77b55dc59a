"""Whether a sidecar is ready, as its `/readyz` says: asked over a plain socket, since probes run it every few seconds.

`http.client` would cost 20 ms of imports (email, ssl) and 4 MB each time.
"""

import json
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from sidecar.net import Address

_MOST_BYTES = 1 << 20
_LOOPBACK = {"0.0.0.0": ("127.0.0.1",), "::": ("::1", "127.0.0.1")}  # noqa: S104 - compared, not bound


class NotAnswered(Exception):
    """Its readiness is unknown; the message is one line that says what was asked and why not."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """`reasons` say why it is not ready; `warnings` are for an operator and do not make it unready."""

    ready: bool
    reasons: Sequence[str]
    warnings: Sequence[str]


def ask(address: Address, seconds: float) -> Readiness:
    """Ask the admin or metrics listener at `address`; all of it takes at most `seconds`. Raises NotAnswered.

    An address that stands for all of its family is asked on loopback.
    """
    where = f"http://{address}/readyz"
    until = time.monotonic() + seconds
    answer = bytearray()
    try:
        with _connected(address, seconds) as sock:
            sock.sendall(b"GET /readyz HTTP/1.0\r\nHost: %b\r\n\r\n" % address.encode("ascii"))
            while len(answer) < _MOST_BYTES:
                left = until - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                sock.settimeout(left)
                data = sock.recv(65536)
                if not data:
                    break
                answer += data
    except TimeoutError:
        raise NotAnswered(f"no answer from {where} within {seconds:g} s") from None
    except OSError as error:
        raise NotAnswered(f"no sidecar answers at {where}: {error.strerror or error}") from error
    return _read(bytes(answer), where)


def _connected(address: Address, seconds: float) -> socket.socket:
    """`[::]` is both families, and IPv4 alone where there is no IPv6."""
    *others, last = _LOOPBACK.get(address.host, (address.host,))
    for host in others:
        with suppress(OSError):
            return socket.create_connection((host, address.port), seconds)
    return socket.create_connection((last, address.port), seconds)


def _read(answer: bytes, where: str) -> Readiness:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    try:
        document = json.loads(body)
        ready, reasons, warnings = document["ready"], document["reasons"], document["warnings"]
    except (ValueError, KeyError, TypeError):
        shown = status[0].decode("latin-1") if status else "bytes that are no HTTP"
        raise NotAnswered(f"{where} is no sidecar's: it answered {shown}") from None
    if not isinstance(ready, bool) or not _texts(reasons) or not _texts(warnings):
        raise NotAnswered(f"{where} does not say what a sidecar of this version says")
    return Readiness(ready, reasons, warnings)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
