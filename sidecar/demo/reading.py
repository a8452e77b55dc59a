"""The sidecar's state of its destination, read from its admin port."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SideReading:
    """The governed side's own account; a field is None where the sidecar did not say."""

    breaker: str | None = None
    balance: float | None = None  # retries the budget could pay for
    limit: float | None = None  # attempts allowed in flight
    in_flight: int | None = None
    amplification: float | None = None  # over its last 10 s
    requests: int | None = None  # that are over
    attempts: int | None = None  # that are over
    refusals: Mapping[str, int] = field(default_factory=dict)  # by reason, those that happened


async def fetch(port: int, path: str, patience: float = 1.0) -> tuple[int, bytes]:
    """GET from 127.0.0.1: (status, body). Raises OSError when there is no whole answer within `patience` seconds."""
    async with asyncio.timeout(patience):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            # HTTP/1.0: the end of the body is the end of the connection
            writer.write(f"GET {path} HTTP/1.0\r\nhost: 127.0.0.1:{port}\r\n\r\n".encode())
            answer = await reader.read(-1)
        finally:
            writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = head.split(b" ", 2)
    if len(fields) < 2 or not fields[1].isdigit():
        raise ConnectionResetError("no HTTP answer")
    return int(fields[1]), body


async def read_destination(port: int, name: str) -> SideReading | None:
    """The reading of destination `name`; None while the admin port does not answer."""
    try:
        status, body = await fetch(port, "/destinations")
        return parse_destinations(json.loads(body), name) if status == 200 else None
    except (OSError, ValueError):
        return None


def parse_destinations(document: object, name: str) -> SideReading | None:
    """One destination out of what `/destinations` answers; None if it is not there.

    What the document does not tell stays None.
    """
    destinations = _inside(document, "destinations")
    for entry in destinations if isinstance(destinations, list) else []:
        if _inside(entry, "name") == name:
            breaker = _inside(entry, "breaker", "state")
            refusals = _inside(entry, "refusals")
            return SideReading(
                breaker=breaker if isinstance(breaker, str) else None,
                balance=_number(_inside(entry, "budget", "balance")),
                limit=_number(_inside(entry, "concurrency", "limit")),
                in_flight=_count(_inside(entry, "concurrency", "in_flight")),
                amplification=_number(_inside(entry, "amplification", "last_10s")),
                requests=_count(_inside(entry, "requests")),
                attempts=_count(_inside(entry, "attempts")),
                refusals={reason: count for reason, count in refusals.items() if isinstance(count, int) and count > 0}
                if isinstance(refusals, dict)
                else {},
            )
    return None


def _inside(document: object, *path: str) -> object:
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _count(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
