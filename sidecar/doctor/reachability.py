"""Whether what the sidecar calls can be reached: the name, a TCP connection, the TLS handshake; side by side.

Of what speaks HTTP the Date is asked for with `OPTIONS *` (RFC 9110 §9.3.7), which is about no resource.
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from sidecar.doctor.diagnosis import Check, Diagnosis, fine, found
from sidecar.net import bracketed
from sidecar.proxy.tls import failure_of

_HEAD_CEILING_BYTES: Final = 16 << 10
_AT_ONCE: Final = 64
_GRACE_SECONDS: Final = 0.2
"""For which a thread is waited for after its time: name look-ups can not be cut short."""


@dataclass(frozen=True, slots=True)
class Contact:
    """A host and port to reach. `name` says whose; `tls` None: in clear; `asks`: whether it is asked for its Date."""

    name: str
    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    asks: bool = False
    store: bool = False
    """Whether it is the store of idempotency keys."""

    def __str__(self) -> str:
        return f"{self.name} {bracketed(self.host)}:{self.port}"


@dataclass(slots=True)
class Reached:
    """The progress of an attempt. `stage` was under way last; `word` is that of the finding or empty."""

    target: Contact
    stage: str = "dns"
    word: str = ""
    detail: str = ""
    address: str = ""
    seconds: float = 0.0
    offset: float | None = None
    """Seconds by which the server's clock is ahead of ours."""
    expires: float | None = None
    """When the server's certificate ends, seconds since 1970."""
    done: threading.Event = field(default_factory=threading.Event)


def reach_all(targets: Sequence[Contact], seconds: float) -> list[Reached]:
    """Try all of them at once; each may take so many seconds, and nothing is waited for longer than that."""
    results = [Reached(target) for target in targets]
    for first in range(0, len(results), _AT_ONCE):
        batch = results[first : first + _AT_ONCE]
        for each in batch:
            # A daemon: a look-up that hangs in the system's resolver must not keep the command from ending.
            threading.Thread(target=_reach, args=(each, seconds), daemon=True).start()
        until = time.monotonic() + seconds + _GRACE_SECONDS
        for each in batch:
            each.done.wait(max(0.0, until - time.monotonic()))
    return results


def reachability(results: Sequence[Reached], seconds: float) -> Iterator[Diagnosis]:
    """Judge what was reached."""
    well = []
    for each in results:
        target = each.target
        word = each.word or ("" if each.done.is_set() else _LATE[each.stage])
        if not word:
            how = "TLS" if target.tls is not None else "TCP"
            well.append(f"{target} ({how} with {each.address}, {each.seconds * 1000:.0f} ms)")
            continue
        detail = each.detail or f"no answer within {seconds:g} s"
        what = f"{target}: {_STAGES[each.stage]}: {detail}"
        yield found("store_unreachable" if target.store else word, what, _cure(word, target))
    for line in well:
        yield fine(Check.REACHABILITY, line)


_LATE: Final = {"dns": "dns_failed", "connect": "connect_timeout", "tls": "tls_failed", "date": ""}
_STAGES: Final = {"dns": "its name", "connect": "a TCP connection", "tls": "the TLS handshake", "date": "an answer"}


def _cure(word: str, target: Contact) -> str:
    where = f"{bracketed(target.host)}:{target.port}"
    match word:
        case "dns_failed":
            return f"look it up where the sidecar runs: getent hosts {target.host}; then mend its spelling, or DNS"
        case "connect_refused":
            return f"start what should listen at {where}, or name its port rightly"
        case "tls_failed":
            return f"look at what it shows: openssl s_client -connect {where}; see docs/tls.md"
    return f"allow {where} in network policies and firewalls between here and there, or name another address"


def _reach(result: Reached, seconds: float) -> None:
    until = time.monotonic() + seconds
    try:
        _try(result, until)
    finally:
        result.done.set()


def _try(result: Reached, until: float) -> None:
    target = result.target
    try:
        found_addresses = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        result.word = "dns_failed"
        result.detail = error.strerror or str(error) if isinstance(error, OSError) else "it is no name"
        return
    result.stage = "connect"
    began = time.monotonic()
    sock = None
    for place, (family, *_, address) in enumerate(found_addresses):
        share = (until - time.monotonic()) / (len(found_addresses) - place)  # so that each address is tried
        try:
            sock = _connected(family, address, share)
        except TimeoutError:
            result.word, result.detail = "connect_timeout", f"{address[0]} does not answer"
        except OSError as error:
            result.word = "connect_refused" if isinstance(error, ConnectionRefusedError) else "connect_timeout"
            result.detail = f"{address[0]}: {error.strerror or error}"
        else:
            result.address, result.word, result.detail = str(address[0]), "", ""
            break
    if sock is None:
        return
    try:
        if target.tls is not None:
            result.stage = "tls"
            sock = _shaken(result, sock, target.tls, until)
        result.seconds = time.monotonic() - began
        if target.asks and not result.word:
            result.stage = "date"
            sock.settimeout(max(0.01, until - time.monotonic()))
            result.offset = _offset(sock, target)
    finally:
        sock.close()


def _connected(family: int, address: object, seconds: float) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(max(0.01, seconds))
        sock.connect(address)  # type: ignore[arg-type]
    except OSError:
        sock.close()
        raise
    return sock


def _shaken(result: Reached, sock: socket.socket, context: ssl.SSLContext, until: float) -> socket.socket:
    """The connection in TLS; the finding is in `result` where there is none."""
    target = result.target
    sock.settimeout(max(0.01, until - time.monotonic()))
    try:
        spoken = context.wrap_socket(sock, server_hostname=target.server_name or target.host)
    except (OSError, ValueError) as error:
        failure = failure_of(error)
        result.word, result.detail = "tls_failed", f"{failure.value}: {failure.detail}"
        return sock
    ends = (spoken.getpeercert() or {}).get("notAfter")
    result.expires = ssl.cert_time_to_seconds(ends) if isinstance(ends, str) else None
    return spoken


def _offset(sock: socket.socket, target: Contact) -> float | None:
    """By how many seconds the server's Date is ahead of this clock; None where it says none."""
    host = f"{bracketed(target.host)}:{target.port}"
    head = bytearray()
    before = time.time()
    try:
        sock.sendall(
            f"OPTIONS * HTTP/1.1\r\nHost: {host}\r\nUser-Agent: sidecar-doctor\r\nConnection: close\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in head and len(head) < _HEAD_CEILING_BYTES and (data := sock.recv(4096)):
            head += data
    except OSError:
        return None
    after = time.time()
    for line in bytes(head).split(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"date":
            return _ahead(value.decode("latin-1").strip(), before, after)
    return None


def _ahead(date: str, before: float, after: float) -> float | None:
    """A Date has whole seconds: within the one that it names, and the time of the exchange, it is the same."""
    try:
        said: datetime = parsedate_to_datetime(date)
    except ValueError:
        return None
    told = said.timestamp()
    if told > after:
        return told - after
    return min(0.0, told + 1.0 - before)
