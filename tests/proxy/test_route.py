"""A destination as requests find it."""

import asyncio

import pytest

from sidecar.engine.destination import Destination
from sidecar.engine.policy import DestinationPolicy
from sidecar.net import Endpoint
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.pool import Pool
from sidecar.proxy.route import Route
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
