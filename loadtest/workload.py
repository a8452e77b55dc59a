"""What is asked of a proxy: a request, and the answer the upstream gives to it.

Generator and upstream are both built from this table, so they cannot disagree about a length.
"""

from dataclasses import dataclass
from email.utils import formatdate

VARIANTS = 4096
"""How many requests, and responses, of a varied workload differ: more than a cache of heads would keep."""
KIB = 1024
MIB = 1024 * KIB

SMALL_BODY = b'{"id":"pay_8fK2mQ","status":"captured","amount":1999,"cur":"EUR"}'


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the comparison. Sizes are of bodies, in bytes."""

    name: str
    title: str
    method: str
    path: str
    upload_bytes: int
    reply: bytes
    is_varied: bool = False
    """No two requests or responses in a row are alike: target, request id, trace, date and entity tag differ."""

    @property
    def is_small(self) -> bool:
        """True where requests are many and short, so that the generator's own cost matters."""
        return max(self.upload_bytes, len(self.reply)) < MIB

    def request(self, host: str = "payments", number: int = 0) -> bytes:
        """A request as it goes on the wire, head and body; `number` below VARIANTS says which, if they differ."""
        varied = f"?payment={number}" if self.is_varied else ""
        head = f"{self.method} {self.path}{varied} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: loadtest\r\n"
        head += "Accept: application/json\r\n"
        if self.is_varied:
            head += f"x-request-id: {number:032x}\r\ntraceparent: 00-{number:032x}-{number:016x}-01\r\n"
        if self.upload_bytes:
            head += f"Content-Type: application/json\r\nContent-Length: {self.upload_bytes}\r\n"
        return head.encode() + b"\r\n" + b"x" * self.upload_bytes

    def response(self, number: int = 0) -> bytes:
        """A response as the upstream sends it, head and body; `number` as of the request."""
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        if self.is_varied:
            head += f'Date: {formatdate(number, usegmt=True)}\r\nETag: "{number:032x}"\r\n'
        head += f"Content-Length: {len(self.reply)}\r\n\r\n"
        return head.encode() + self.reply

    def requests(self) -> list[bytes]:
        """All of them, in the order in which they go out; then from the first again."""
        return [self.request(number=number) for number in range(VARIANTS if self.is_varied else 1)]

    def responses(self) -> list[bytes]:
        """All of them, in the order in which they are given; then from the first again."""
        return [self.response(number) for number in range(VARIANTS if self.is_varied else 1)]


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("get", f"GET, {len(SMALL_BODY)} byte response", "GET", "/small", 0, SMALL_BODY),
        Workload("varied", "GET, no two heads alike", "GET", "/varied", 0, SMALL_BODY, is_varied=True),
        Workload("post", "POST of 1 KiB", "POST", "/post", KIB, SMALL_BODY),
        Workload("10k", "GET, 10 KiB response", "GET", "/10k", 0, b"x" * 10 * KIB),
        Workload("10k-up", "POST of 10 KiB", "POST", "/10k-up", 10 * KIB, SMALL_BODY),
        Workload("1m", "GET, 1 MiB response", "GET", "/1m", 0, b"x" * MIB),
        Workload("1m-up", "POST of 1 MiB", "POST", "/1m-up", MIB, SMALL_BODY),
    )
}

DEFAULT_ROWS = ("get", "varied", "post", "10k", "10k-up", "1m", "1m-up")
