"""A data plane on real sockets, in the test's own loop, in front of one destination called `payments`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from msgspec.structs import replace

from sidecar.engine.destination import Destination
from sidecar.engine.policy import BudgetPolicy, DestinationPolicy, RetryPolicy
from sidecar.engine.tally import Tally
from sidecar.governance.documents.limits import WireLimits
from sidecar.net import Address, AddressRange, Endpoint
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.egress_guard import EgressGuard
from sidecar.proxy.listener import Listener, bind
from sidecar.proxy.pool import Pool
from sidecar.proxy.route import Role, Route
from sidecar.proxy.router import Router
from sidecar.proxy.tls import ClientTls, ServerTls
from sidecar.proxy.unlisted_hosts import UnlistedHosts
from sidecar.telemetry.record import ExchangeRecord
from sidecar.wire.writer import VIA
from tests.fakes.waiting import turn

GENEROUS = DestinationPolicy(
    timeout=3.0,
    per_attempt_timeout=0.3,
    retry=RetryPolicy(),
    budget=BudgetPolicy(ratio=1.0, burst=10.0, min_retries=100),
)


@dataclass
class Notes:
    """A recorder that keeps what it is told."""

    records: list[ExchangeRecord] = field(default_factory=list)

    def record(self, record: ExchangeRecord) -> None:
        self.records.append(record)


@dataclass
class House:
    """The parts of one running data plane: an own port for `payments`, and the shared egress port."""

    context: ProxyContext
    router: Router
    unlisted: UnlistedHosts
    route: Route
    own: Listener
    egress: Listener
    notes: Notes

    @property
    def destination(self) -> Destination:
        return self.route.destination

    @property
    def tally(self) -> Tally:
        return self.route.destination.tally

    async def send(self, data: bytes, *, egress: bool = False, until_close: bool = False) -> bytes:
        """Send bytes as they are; what comes back until the end of one response, or until the connection ends."""
        port = (self.egress if egress else self.own).address.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            return await asyncio.wait_for(reader.read() if until_close else read_response(reader), 8)
        finally:
            writer.close()


async def read_response(reader: asyncio.StreamReader) -> bytes:
    """One response that has a Content-Length or is chunked, its bytes as they came."""
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    at = lower.find(b"content-length:")
    if at >= 0:
        return head + await reader.readexactly(int(lower[at + 15 :].split(b"\r\n")[0]))
    if b"transfer-encoding: chunked" in lower:
        return head + await reader.readuntil(b"0\r\n\r\n")
    return head


@asynccontextmanager
async def house(
    ports: Sequence[int],
    policy: DestinationPolicy = GENEROUS,
    *,
    limits: WireLimits | None = None,
    connect: bool = True,
    forward_unlisted: bool = True,
    tunnel_governed: bool = True,
    tls: ClientTls | None = None,
    host: str = "127.0.0.1",
    ingress: bool = False,
    ingress_tls: ServerTls | None = None,
    hosts: Mapping[str, str] | None = None,
    allowed: Sequence[AddressRange] = (),
) -> AsyncIterator[House]:
    """`hosts` lead to `payments` instead of its name, `allowed` is what egress.allow says.

    `ingress` makes an ingress listener of the own port, `ingress_tls` one that callers speak TLS to.
    """
    loop = asyncio.get_running_loop()
    notes = Notes()
    context = ProxyContext(loop, notes)
    context.via = VIA
    context.limits = limits or replace(WireLimits(), connect_timeout=0.5)
    rand = iter_rand()
    destination = Destination("payments", policy, rand, context.clock())
    spoken: Callable[[], ClientTls] = no_tls if tls is None else lambda: tls
    endpoints = [Endpoint("http" if tls is None else "https", host, port) for port in ports]
    role = Role.INGRESS if ingress else Role.EGRESS
    route = Route("payments", destination, Pool(context, endpoints, rand, spoken), role)
    unlisted = UnlistedHosts(context, policy, rand, spoken)
    router = Router(
        {"payments": route},
        hosts or {"payments": "payments"},
        unlisted,
        forward_unlisted=forward_unlisted,
        tunnel_governed=tunnel_governed,
    )
    own = Listener(
        context,
        bind(Address("127.0.0.1", 0)),
        router,
        route,
        connect=connect and not ingress,
        ingress=ingress,
        tls=ingress_tls,
    )
    egress = Listener(context, bind(Address("127.0.0.1", 0)), router, None, connect=connect)
    context.guard = EgressGuard([own.address, egress.address], allowed=allowed)
    await own.start()
    await egress.start()
    try:
        yield House(context, router, unlisted, route, own, egress, notes)
    finally:
        own.close()
        egress.close()
        for each in (route, *unlisted.routes):
            each.pool.close()
        context.wheel.close()
        await turn(5)  # closing transports says so to their protocols in the next turns


def iter_rand():  # type: ignore[no-untyped-def]
    """Dice that show every face in turn."""
    state = 0

    def rand() -> float:
        nonlocal state
        state = (state + 7) % 10
        return state / 10

    return rand


def no_tls():  # type: ignore[no-untyped-def]
    raise AssertionError("no TLS here")
