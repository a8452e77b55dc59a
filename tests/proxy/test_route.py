"""A destination as requests find it."""

import asyncio
import math
from dataclasses import replace

import pytest

from sidecar.engine.destination import Destination
from sidecar.engine.policy import DestinationPolicy
from sidecar.net import Endpoint
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.pool import Pool
from sidecar.proxy.route import Route
from sidecar.wire.reader import RequestReader
from tests.fakes.house import Notes, iter_rand, no_tls


def route_to(endpoint: str = "http://payments:8080", policy: DestinationPolicy | None = None) -> Route:
    context = ProxyContext(asyncio.get_running_loop(), Notes())
    destination = Destination("payments", policy or DestinationPolicy(), iter_rand(), 0.0)
    return Route("payments", destination, Pool(context, [Endpoint.parse(endpoint)], iter_rand(), no_tls))


@pytest.mark.parametrize(
    ("endpoint", "authority"),
    [
        ("http://payments:8080", b"payments:8080"),
        ("http://payments:80", b"payments"),
        ("https://payments", b"payments"),
        ("https://payments:80", b"payments:80"),
        ("http://[::1]:9", b"[::1]:9"),
    ],
)
async def test_a_destination_knows_itself_by_its_first_endpoint(endpoint: str, authority: bytes) -> None:
    assert route_to(endpoint).authority == authority


@pytest.mark.parametrize(
    ("request_line", "key", "honours", "until"),
    [
        (b"GET / HTTP/1.1", b"", False, math.inf),
        (b"POST / HTTP/1.1", b"", True, -math.inf),
        (b"POST / HTTP/1.1", b"Idempotency-Key: k\r\n", False, -math.inf),
        (b"POST / HTTP/1.1", b"Idempotency-Key: k\r\n", True, 1060.0),
    ],
)
async def test_what_may_be_sent_again_follows_from_the_method_and_the_key(
    request_line: bytes, key: bytes, *, honours: bool, until: float
) -> None:
    head = RequestReader().feed(request_line + b"\r\nHost: payments\r\n" + key + b"\r\n")
    assert head is not None

    route = route_to(policy=replace(DestinationPolicy(), honours_keys=honours, key_retention=60.0))

    assert route.repeatable_until(head, 1000.0) == until
