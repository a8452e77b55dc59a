"""Nothing is asked of the process that no address shows."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.test_utils import TestClient

from sidecar.admin.live import Live
from sidecar.admin.live_page import LivePage
from sidecar.admin.state import AdminState
from sidecar.admin.views import INDEX, Views
from sidecar.telemetry.exporter import MetricsExporter
from tests.admin.states import SetState
from tests.fakes.watched import Watched


class WatchedState(Watched, SetState):
    pass


async def test_everything_an_admin_state_must_offer_is_behind_an_address(
    aiohttp_client: Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]],
) -> None:
    state = WatchedState()
    app = web.Application()
    app.add_routes(Views(state, MetricsExporter(state, lambda: 0.0), lambda: 0.0).everything())
    app.add_routes(LivePage(Live(state, lambda: 0.0)).routes())
    client = await aiohttp_client(app)
    offered = {name for base in AdminState.__mro__ for name in vars(base) if not name.startswith("_")}

    for address in INDEX:
        method, _, path = address.rpartition(" ")
        response = await client.request(method or "GET", path)
        response.close()

    assert {"ready", "reload", "destinations"} <= offered
    assert offered <= state.asked
