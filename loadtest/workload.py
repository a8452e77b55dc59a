"""What is asked of a proxy: a request, and the answer the upstream gives to it.

Generator and upstream are both built from this table, so they cannot disagree about a length.
"""

from dataclasses import dataclass

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

    @property
    def is_small(self) -> bool:
        """True where requests are many and short, so that the generator's own cost matters."""
        return max(self.upload_bytes, len(self.reply)) < MIB

    def request(self, host: str = "payments") -> bytes:
        """The request as it goes on the wire, head and body."""
        head = f"{self.method} {self.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: loadtest\r\n"
        head += "Accept: application/json\r\n"
        if self.upload_bytes:
            head += f"Content-Type: application/json\r\nContent-Length: {self.upload_bytes}\r\n"
        return head.encode() + b"\r\n" + b"x" * self.upload_bytes

    def response(self) -> bytes:
        """The response as the upstream sends it, head and body."""
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(self.reply)}\r\n\r\n"
        return head.encode() + self.reply


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("get", f"GET, {len(SMALL_BODY)} byte response", "GET", "/small", 0, SMALL_BODY),
        Workload("post", "POST of 1 KiB", "POST", "/post", KIB, SMALL_BODY),
        Workload("10k", "GET, 10 KiB response", "GET", "/10k", 0, b"x" * 10 * KIB),
        Workload("10k-up", "POST of 10 KiB", "POST", "/10k-up", 10 * KIB, SMALL_BODY),
        Workload("1m", "GET, 1 MiB response", "GET", "/1m", 0, b"x" * MIB),
        Workload("1m-up", "POST of 1 MiB", "POST", "/1m-up", MIB, SMALL_BODY),
    )
}

DEFAULT_ROWS = ("get", "post", "1m")
