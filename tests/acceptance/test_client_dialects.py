"""Keys of the client library on the wire: each adapter, a real server, the documents of a service and its platform."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import aiohttp
import httpx
import pytest
import requests

from sidecar.client import Retries, of_values
from sidecar.client.aiohttp import RetryMiddleware
from sidecar.client.httpx import AsyncRetryTransport, RetryTransport
from sidecar.client.requests import RetryAdapter

POLICY = """\
version: 1
owner: platform
defaults: {retry: {statuses: [503], backoff: {base: 1ms, max: 1ms}}}
destinations: {payments: {idempotency_key: {honours: true, retention: 1h}}}
"""
BODY = {"amount": 100, "event": {"id": "evt/7"}}
Sender = Callable[[Retries, str], int]


class Seen:
    """What came: fields and bodies. Every other request is answered 503."""

    def __init__(self) -> None:
        self.fields: list[dict[str, str]] = []
        self.bodies: list[bytes] = []


@contextmanager
def serving() -> Iterator[tuple[Seen, str]]:
    seen = Seen()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.fields.append({name.lower(): value for name, value in self.headers.items()})
            seen.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(503 if len(seen.bodies) == 1 else 201)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield seen, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def by_httpx(retries: Retries, url: str) -> int:
    with httpx.Client(transport=RetryTransport(retries)) as client:
        return client.post(url, json=BODY).status_code


def by_async_httpx(retries: Retries, url: str) -> int:
    async def post() -> int:
        async with httpx.AsyncClient(transport=AsyncRetryTransport(retries)) as client:
            return (await client.post(url, json=BODY)).status_code

    return asyncio.run(post())


def by_aiohttp(retries: Retries, url: str) -> int:
    async def post() -> int:
        async with (
            aiohttp.ClientSession(middlewares=(RetryMiddleware(retries),)) as session,
            session.post(url, json=BODY) as answer,
        ):
            return answer.status

    return asyncio.run(post())


def by_requests(retries: Retries, url: str) -> int:
    with requests.Session() as session:
        session.mount("http://", RetryAdapter(retries))
        return session.post(url, json=BODY).status_code


ADAPTERS = (by_httpx, by_async_httpx, by_aiohttp, by_requests)


def sent(tmp_path: Path, send: Sender, **key: object) -> tuple[Seen, int]:
    (tmp_path / "policy.yaml").write_text(POLICY)
    with serving() as (seen, url):
        entry: Mapping[str, object] = {"endpoints": [url], "idempotency_key": key}
        status = send(of_values("shop", {"payments": entry}, policy=tmp_path / "policy.yaml"), url)
    return seen, status


@pytest.mark.parametrize("send", ADAPTERS)
def test_a_key_goes_in_the_header_and_the_form_of_the_documents_on_every_attempt(tmp_path: Path, send: Sender) -> None:
    seen, status = sent(tmp_path, send, header="X-Request-Key", form="quoted", charset="alphanumeric")

    keys = [fields["x-request-key"] for fields in seen.fields]
    assert status == 201
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert (len(keys[0]), keys[0][0], keys[0][-1]) == (34, '"', '"')
    assert keys[0][1:-1].isalnum()
    assert all("idempotency-key" not in fields for fields in seen.fields)


@pytest.mark.parametrize("send", ADAPTERS)
def test_a_key_goes_into_the_body_made_of_a_value_there_on_every_attempt(tmp_path: Path, send: Sender) -> None:
    seen, status = sent(tmp_path, send, location="/idempotency_key", key_from="/event/id")

    assert status == 201
    assert len(seen.bodies) == 2
    assert [json.loads(body) for body in seen.bodies] == [{"idempotency_key": "evt/7", **BODY}] * 2


@pytest.mark.parametrize("send", ADAPTERS)
def test_a_value_that_the_destination_does_not_take_is_the_same_uuid_each_time(tmp_path: Path, send: Sender) -> None:
    first, again = (sent(tmp_path, send, key_from="/event/id", charset="uuid")[0] for _ in range(2))

    keys = {fields["idempotency-key"] for fields in (*first.fields, *again.fields)}
    assert len(keys) == 1
    assert len(keys.pop()) == 36


def test_a_function_is_given_the_header_of_its_destination_and_puts_a_key_into_a_body_itself(tmp_path: Path) -> None:
    told: list[tuple[dict[str, str], str | None]] = []

    def send(retries: Retries, url: str) -> int:
        del url
        retries["payments"].call(
            lambda attempt: told.append((attempt.headers, attempt.idempotency_key)), idempotency_key=True
        )
        return 201

    sent(tmp_path, send, header="X-Request-Key", form="quoted", max_length=32)
    sent(tmp_path, send, location="/key")

    ((headers, key), (bodied, bodied_key)) = told
    assert key is not None
    assert len(key) == 32
    assert headers == {"X-Request-Key": f'"{key}"'}
    assert bodied == {}
    assert bodied_key is not None
