"""The walk with requests (urllib3)."""

import json
import sys
from collections.abc import Iterator

import requests

base, gates = sys.argv[1:]
session = requests.Session()


def pieces() -> Iterator[bytes]:
    yield b"one"
    requests.get(f"{gates}/arrived/3", timeout=20).raise_for_status()
    yield b"two"


def gated(name: str) -> str:
    with session.get(f"{base}/{name}", stream=True, timeout=20) as answer:
        lines = answer.iter_lines(chunk_size=1)
        first = next(lines)
        requests.get(f"{gates}/open/{name}", timeout=20).raise_for_status()
        return f"{first.decode()}|{b''.join(lines).decode()}"


flaky = session.get(f"{base}/flaky", timeout=20)
walk = {
    "hello": session.get(f"{base}/hello", timeout=20).text,
    "flaky": f"{flaky.status_code} {flaky.headers['x-sidecar-attempts']}",
    "echo": session.post(f"{base}/echo", data="amount=1", timeout=20).text,
    "upload": session.post(f"{base}/upload", data=pieces(), timeout=20).text,
    "download": gated("download"),
    "events": gated("events"),
}
sys.stdout.write(json.dumps(walk))
