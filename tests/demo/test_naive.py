import pytest

from sidecar.demo.naive import NaiveClient
from tests.demo.scripted import ScriptedClient


def naive(caller: ScriptedClient) -> NaiveClient:
    return NaiveClient(caller, retries=3, backoff=0.0, per_try=1.0)


async def test_a_success_is_not_tried_again() -> None:
    caller = ScriptedClient(200)

    status = await naive(caller).get("r-1", 3.0)

    assert status == 200
    assert caller.patiences == [1.0]


async def test_failures_and_cut_connections_are_tried_three_times_more() -> None:
    caller = ScriptedClient(503, ConnectionResetError(), TimeoutError(), 200)

    status = await naive(caller).get("r-1", 3.0)

    assert status == 200
    assert caller.ids == ["r-1"] * 4


async def test_the_last_failure_is_returned() -> None:
    caller = ScriptedClient(503, 503, 503, 502)

    status = await naive(caller).get("r-1", 3.0)

    assert status == 502


async def test_the_last_fault_is_raised() -> None:
    caller = ScriptedClient(503, 503, 503, ConnectionResetError("cut"))

    with pytest.raises(ConnectionResetError, match="cut"):
        await naive(caller).get("r-1", 3.0)


async def test_the_callers_own_error_is_not_tried_again() -> None:
    caller = ScriptedClient(404)

    status = await naive(caller).get("r-1", 3.0)

    assert status == 404


async def test_nothing_is_tried_past_the_deadline() -> None:
    caller = ScriptedClient(503, 503, 503, 503)
    client = NaiveClient(caller, retries=3, backoff=60.0, per_try=1.0)

    with pytest.raises(TimeoutError):
        await client.get("r-1", 0.01)

    assert len(caller.patiences) == 1
