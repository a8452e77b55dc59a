"""The walk with httpx."""

import json
import sys
from collections.abc import Iterator

import httpx

base, gates = sys.argv[1:]
client = httpx.Client(timeout=20)


def pieces() -> Iterator[bytes]:
    yield b"one"
    httpx.get(f"{gates}/arrived/3", timeout=20).raise_for_status()
    yield b"two"


def gated(name: str) -> str:
    with client.stream("GET", f"{base}/{name}") as answer:
        lines = answer.iter_lines()
        first = next(lines)
        httpx.get(f"{gates}/open/{name}", timeout=20).raise_for_status()
        return f"{first}|{''.join(lines)}"


flaky = client.get(f"{base}/flaky")
walk = {
    "hello": client.get(f"{base}/hello").text,
    "flaky": f"{flaky.status_code} {flaky.headers['x-sidecar-attempts']}",
    "echo": client.post(f"{base}/echo", content=b"amount=1").text,
    "upload": client.post(f"{base}/upload", content=pieces()).text,
    "download": gated("download"),
    "events": gated("events"),
}
sys.stdout.write(json.dumps(walk))
