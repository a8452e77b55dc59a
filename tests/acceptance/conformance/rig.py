"""A real `sidecar run` between raw sockets: a test plays the client and the server, byte by byte, in one thread.

Nothing here knows HTTP but `Message`, which is read with the plainest code there is and believes what it is told.
"""

import contextlib
import re
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.cli.test_run import free_port

PATIENCE = 5.0
"""Seconds after which something that should have come never will."""
MOMENT = 0.05
"""Seconds in which something that should not come would have."""

POLICY = """\
version: 1
owner: conformance
defaults:
  timeout: {timeout}
  per_attempt_timeout: {timeout}
  idle_timeout: {idle}
  retry: {{max_attempts: 1, backoff: {{base: 1ms, max: 2ms}}, min_remaining: 1ms}}
  budget: {{ratio: 0.2, min_retries: 100, burst: 10}}
  breaker: {{failure_ratio: 1.0, min_requests: 1000, consecutive_failures: 1000}}
  concurrency: {{limit: fixed, initial: 1000}}
guardrails:
  budget.min_retries: {{max: 100}}
  breaker.failure_ratio: {{max: 1}}
  breaker.min_requests: {{max: 1000}}
  breaker.consecutive_failures: {{max: 1000}}
  concurrency.initial: {{max: 1000}}
limits: {limits}
via: {via}
"""
SIDECAR = """\
service: conformance
admin: {{listen: '127.0.0.1:{admin}'}}
policy: {{file: policy.yaml}}
egress: {{listen: ['127.0.0.1:{egress}'], connect: {connect}}}
drain: 1s
destinations:
  payments:
    hosts: [payments]
    endpoints: ['http://127.0.0.1:{upstream}']
    listen: '127.0.0.1:{own}'
  shop:
    hosts: [shop]
    endpoints: ['http://127.0.0.1:{upstream}']
    listen: '127.0.0.1:{shop}'
    overrides: {{retry: {{max_attempts: 3}}}}
  narrow:
    hosts: [narrow]
    endpoints: ['http://127.0.0.1:{upstream}']
    overrides:
      retry: {{max_attempts: 2, replay_buffer: 1KiB}}
      concurrency: {{limit: fixed, initial: 1, min_in_flight: 1, max_waiting: 1}}
"""


@dataclass(frozen=True)
class Message:
    """One message as it was sent: its first line, its fields in order, its body with its framing still on."""

    line: str
    fields: list[tuple[str, str]]
    body: bytes
    raw: bytes

    @classmethod
    def parse(cls, head: bytes, body: bytes = b"") -> Self:
        line, *lines = head[:-4].decode("latin-1").split("\r\n")
        pairs = [(name, value) for name, _, value in (field.partition(":") for field in lines)]
        return cls(line, [(name, value.strip(" \t")) for name, value in pairs], body, head + body)

    @property
    def status(self) -> int:
        return int(self.line.split(" ")[1])

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)

    @property
    def names(self) -> set[str]:
        return {name.lower() for name, _ in self.fields}

    @property
    def content(self) -> bytes:
        """The body without its framing."""
        if self.get("transfer-encoding") is None:
            return self.body
        left, content = self.body, b""
        while size := int(left.split(b"\r\n")[0], 16):
            left = left.partition(b"\r\n")[2]
            content += left[:size]
            assert left[size : size + 2] == b"\r\n"
            left = left[size + 2 :]
        return content


class Peer:
    """One end of a connection to or from the sidecar."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._seen = b""

    def send(self, data: bytes) -> Self:
        self.sock.sendall(data)
        return self

    def read(self, size: int) -> bytes:
        """Exactly so many bytes; AssertionError when the connection ends before."""
        while len(self._seen) < size:
            self._more()
        data, self._seen = self._seen[:size], self._seen[size:]
        return data

    def until(self, mark: bytes) -> bytes:
        """Everything up to `mark` and with it."""
        while mark not in self._seen:
            self._more()
        return self.read(self._seen.index(mark) + len(mark))

    def head(self) -> Message:
        return Message.parse(self.until(b"\r\n\r\n"))

    def message(self, *, to_head: bool = False) -> Message:
        """A head, and the body that it announces; up to the end of the connection where a response announces none."""
        head = self.head()
        response = head.line.startswith("HTTP/")
        if to_head or (response and (head.status < 200 or head.status in {204, 304})):
            return head
        if head.get("transfer-encoding") is not None:
            body = b""
            while True:
                line = self.until(b"\r\n")
                size = int(line, 16)
                if not size:
                    break
                body += line + self.read(size + 2)
            body += line
            while (line := self.until(b"\r\n")) != b"\r\n":
                body += line
            body += line
        elif (length := head.get("content-length")) is not None:
            body = self.read(int(length))
        else:
            body = self.rest() if response else b""
        return Message.parse(head.raw, body)

    def rest(self) -> bytes:
        """Everything up to a clean end. ConnectionResetError when it is not clean, AssertionError when none comes."""
        while True:
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                raise AssertionError(f"the connection did not end; so far {self._seen[:300]!r}") from None
            if not data:
                rest, self._seen = self._seen, b""
                return rest
            self._seen += data

    def ending(self) -> tuple[bytes, str]:
        """What came until the end, and how it ended: `fin` or `reset`."""
        try:
            return self.rest(), "fin"
        except ConnectionResetError:
            rest, self._seen = self._seen, b""
            return rest, "reset"

    def silent(self, seconds: float = MOMENT) -> bool:
        """Whether nothing comes for a while, not even an end."""
        if self._seen:
            return False
        self.sock.settimeout(seconds)
        try:
            self._seen = self.sock.recv(65536)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(PATIENCE)
        return False

    def finish(self) -> None:
        """Send no more."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """End the connection with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _more(self) -> None:
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            raise AssertionError(f"nothing more came; so far {self._seen[:300]!r}") from None
        assert data, f"the connection ended early; so far {self._seen[:300]!r}"
        self._seen += data


class Rig:
    """A running sidecar, the port its destinations lead to, and the connections of the test that is running."""

    def __init__(self, folder: Path, *, timeout: str, idle: str, limits: str, connect: str, via: str) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.settimeout(PATIENCE)
        self.upstream: int = self._listener.getsockname()[1]
        self.admin, self.own, self.shop, self.egress = (free_port() for _ in range(4))
        (folder / "policy.yaml").write_text(POLICY.format(timeout=timeout, idle=idle, limits=limits, via=via))
        file = folder / "sidecar.yaml"
        file.write_text(
            SIDECAR.format(
                admin=self.admin,
                egress=self.egress,
                own=self.own,
                shop=self.shop,
                upstream=self.upstream,
                connect=connect,
            )
        )
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sidecar", "run", "--config", str(file)], stderr=log, stdout=log
            )
        self._clients: list[Peer] = []
        self._servers: list[Peer] = []

    def client(self, door: str = "own") -> Peer:
        """A connection to the sidecar: its destination's `own` port, the `shop`'s, or the `egress` port."""
        port = {"own": self.own, "shop": self.shop, "host": self.egress, "absolute": self.egress}[door]
        peer = Peer(socket.create_connection(("127.0.0.1", port), PATIENCE))
        self._clients.append(peer)
        return peer

    def server(self) -> Peer:
        """The next connection from the sidecar."""
        try:
            peer = Peer(self._listener.accept()[0])
        except TimeoutError:
            raise AssertionError("nothing was sent upstream") from None
        self._servers.append(peer)
        return peer

    def uncalled(self, seconds: float = MOMENT) -> bool:
        """Whether nobody calls upstream for a while."""
        self._listener.settimeout(seconds)
        try:
            self._servers.append(Peer(self._listener.accept()[0]))
        except TimeoutError:
            return True
        finally:
            self._listener.settimeout(PATIENCE)
        return False

    def lend(self) -> socket.socket:
        """The listening socket, for a server that is not played by hand."""
        return self._listener.dup()

    def ask(self, raw: bytes, answer: bytes, door: str = "own", *, to_head: bool = False) -> tuple[Message, Message]:
        """One whole exchange: the request as it arrived upstream, and the response as it arrived here."""
        client = self.client(door).send(through(door, raw))
        server = self.server()
        forwarded = server.message()
        server.send(answer)
        if close_delimited(answer):
            server.finish()
        delivered = client.message(to_head=to_head)
        self.settle()
        return forwarded, delivered

    def forwarded(self, raw: bytes, door: str = "own") -> Message:
        """The request as it arrives upstream."""
        return self.ask(raw, OK, door)[0]

    def delivered(
        self, answer: bytes, raw: bytes | None = None, door: str = "own", *, to_head: bool = False
    ) -> Message:
        """The response as it arrives here."""
        return self.ask(GET if raw is None else raw, answer, door, to_head=to_head)[1]

    def refused(self, raw: bytes, door: str = "own") -> Message:
        """The one answer to bytes that must not be forwarded, after which the connection has ended."""
        client = self.client(door).send(through(door, raw))
        data = client.rest()
        head, mark, body = data.partition(b"\r\n\r\n")
        assert mark, f"no whole answer: {data!r}"
        return Message.parse(head + mark, body)

    def rejections(self) -> dict[str, int]:
        """`sidecar_rejections_total` by reason, scraped."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=PATIENCE) as answer:
            text = answer.read().decode()
        pairs = re.findall(r'^sidecar_rejections_total\{reason="(\w+)"\} (\S+)$', text, re.MULTILINE)
        return {reason: int(float(count)) for reason, count in pairs}

    def metric(self, name: str) -> float:
        """The sum of a metric's values, scraped."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=PATIENCE) as answer:
            text = answer.read().decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))

    def ready(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=PATIENCE):
                return True
        except OSError:
            return False

    def settle(self) -> None:
        """End all connections of a test, so that the next begins with none: the sidecar ends its side when it knows."""
        for peer in self._clients:
            peer.close()
        while not self.uncalled(0.001):
            pass
        for peer in self._servers:
            peer.finish()
        for peer in self._servers:
            with contextlib.suppress(OSError):
                peer.sock.settimeout(PATIENCE)
                while peer.sock.recv(65536):
                    pass
            peer.close()
        self._clients.clear()
        self._servers.clear()

    def end(self) -> str:
        """Stop the sidecar as an operator does; what it wrote."""
        self._listener.close()
        self.process.terminate()
        assert self.process.wait(10) == 0
        return self._log.read_text()


@contextlib.contextmanager
def running(
    folder: Path,
    *,
    timeout: str = "3s",
    idle: str = "3s",
    limits: str = "{}",
    connect: str = "tunnel",
    via: str = "true",
) -> Iterator[Rig]:
    rig = Rig(folder, timeout=timeout, idle=idle, limits=limits, connect=connect, via=via)
    try:
        wait_until(rig.ready, 15)
        yield rig
        log = rig.end()
    finally:
        rig.process.kill()
        rig.process.wait()
    assert "Traceback" not in log, log


GET = b"GET /x HTTP/1.1\r\nHost: payments\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
DOORS = ("own", "host", "absolute")
"""The ways in: a destination's own port, the shared port by Host, the shared port as an HTTP proxy."""


def through(door: str, raw: bytes) -> bytes:
    """A request for `payments` as it is written for that way in."""
    return raw.replace(b" /", b" http://payments/", 1) if door == "absolute" else raw


def close_delimited(answer: bytes) -> bool:
    head = answer.partition(b"\r\n\r\n")[0].lower()
    return b"content-length:" not in head and b"transfer-encoding:" not in head


def wait_until(holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Look again and again until `holds()`."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.01)
