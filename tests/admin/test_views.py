"""Each address shows what its name says, and nothing but a reload changes anything."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientError, web
from aiohttp.test_utils import TestClient
from prometheus_client.parser import text_string_to_metric_families

from sidecar.admin.guard import Guard
from sidecar.admin.live import Live
from sidecar.admin.live_page import LivePage
from sidecar.admin.state import ReloadResult
from sidecar.admin.views import INDEX, MAX_SCRAPES, Views
from sidecar.engine.outcome import AttemptKind, Result
from sidecar.engine.retry import Admission, RetryState
from sidecar.engine.verdict import Refusal, Retry
from sidecar.telemetry.exporter import MetricsExporter
from sidecar.telemetry.metrics_source import PolicyReloads
from tests.admin.states import FINDING, SetState
from tests.admin.tokens import BEARER, Told, known_token

Client = TestClient[web.Request, web.Application]
Open = Callable[[SetState], Awaitable[Client]]


@pytest.fixture
def opened(aiohttp_client: Callable[[web.Application], Awaitable[Client]]) -> Open:
    async def open_views(state: SetState) -> Client:
        app = web.Application(middlewares=[Guard([], known_token(), Told(), lambda: 0.0).middleware])
        app.add_routes(Views(state, MetricsExporter(state, lambda: 1.0), lambda: 1.0).everything())
        app.add_routes(LivePage(Live(state, lambda: 1.0)).routes())
        return await aiohttp_client(app)

    return open_views


async def destination_at(client: Client) -> dict[str, Any]:
    response = await client.get("/destinations")
    (view,) = (await response.json())["destinations"]
    assert isinstance(view, dict)
    return view


async def test_livez_is_answered_whatever_the_state(opened: Open) -> None:
    client = await opened(SetState(reasons=["draining"]))

    response = await client.get("/livez")

    assert (response.status, await response.text()) == (200, "ok\n")


async def test_readyz_is_200_when_nothing_is_missing(opened: Open) -> None:
    client = await opened(SetState())

    response = await client.get("/readyz")

    assert (response.status, await response.json()) == (200, {"ready": True, "reasons": [], "warnings": []})


async def test_readyz_is_200_with_what_an_operator_should_know(opened: Open) -> None:
    client = await opened(SetState(notes=["the compiled-in baseline is in force"]))

    response = await client.get("/readyz")

    assert response.status == 200
    assert (await response.json())["warnings"] == ["the compiled-in baseline is in force"]


async def test_readyz_is_503_with_the_reasons(opened: Open) -> None:
    client = await opened(SetState(reasons=["draining"]))

    response = await client.get("/readyz")

    assert (response.status, await response.json()) == (503, {"ready": False, "reasons": ["draining"], "warnings": []})


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
async def test_metrics_come_in_the_format_that_was_asked_for(opened: Open, accept: str, content_type: str) -> None:
    client = await opened(SetState())

    response = await client.get("/metrics", headers={"Accept": accept})

    assert response.headers["Content-Type"] == content_type
    families = {family.name for family in text_string_to_metric_families(await response.text())}
    assert "sidecar_budget_balance" in families


async def test_a_scrape_says_how_long_it_is_also_to_one_who_only_asks_that(opened: Open) -> None:
    client = await opened(SetState())

    whole = await client.get("/metrics")
    asked = await client.head("/metrics")

    assert whole.content_length == len(await whole.read())
    assert asked.status == 200
    assert asked.content_length == pytest.approx(whole.content_length, rel=0.01)  # the second has numbers of its own
    assert whole.headers["Content-Security-Policy"] == asked.headers["Content-Security-Policy"] != ""


async def test_more_scrapes_than_there_is_memory_for_are_refused_and_the_others_made(opened: Open) -> None:
    client = await opened(SetState())

    answers = await asyncio.gather(*(client.get("/metrics") for _ in range(4 * MAX_SCRAPES)))
    later = await client.get("/metrics")

    made, refused = ([one for one in answers if one.status == status] for status in (200, 503))
    assert len(made) >= MAX_SCRAPES
    assert len(made) + len(refused) == len(answers)
    assert refused
    assert "scrapes are under way" in (await refused[0].json())["detail"]
    assert later.status == 200


async def test_a_scraper_that_does_not_read_is_let_go(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stuck(response: web.StreamResponse, _: bytes) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("sidecar.admin.views.SCRAPE_SECONDS", 0.05)
    monkeypatch.setattr(web.StreamResponse, "write", stuck)
    client = await opened(SetState())

    response = await client.get("/metrics")

    with pytest.raises(ClientError):
        await response.read()


async def test_policy_shows_the_policy_and_the_last_reload(opened: Open) -> None:
    error = "policy.yaml:12: budget.ratio: must be at most 0.2, got 0.9"
    client = await opened(SetState(reloads=PolicyReloads(3, 1, 1_790_000_000.0, error)))

    response = await client.get("/policy")

    assert await response.json() == {
        "version": 7,
        "owner": "platform-reliability",
        "digest": "sha256:3f2a",
        "sources": ["policy.yaml"],
        "reload": {"ok": False, "error": error, "loaded_at": 1_790_000_000.0, "succeeded": 3, "failed": 1},
    }


async def test_a_destination_before_its_first_request(opened: Open) -> None:
    client = await opened(SetState())

    view = await destination_at(client)

    assert view["name"] == "payments"
    assert view["endpoints"] == ["http://payments.default.svc:8080"]
    assert view["requests"] == view["attempts"] == 0
    assert view["amplification"] == {"last_10s": 1.0, "overall": 1.0}
    assert view["refusals"] == {refusal.value: 0 for refusal in Refusal}
    assert view["breaker"]["state"] == "closed"
    assert view["breaker"]["retry_after"] == 0.0
    assert view["concurrency"] == {"state": "open", "limit": 4096.0, "in_flight": 0, "waiting": 0}
    assert view["latency"]["request"] == {"p50": 0.0, "p99": 0.0}


async def test_a_destination_after_a_retry_and_a_refusal(opened: Open) -> None:
    state = SetState()
    exchange = RetryState(state.destinations["payments"], 0.0, float("inf"))
    assert exchange.admit(0.0) is Admission.GO
    assert isinstance(exchange.on_status(0.1, 503, None), Retry)
    assert exchange.depart(0.2) is Admission.GO
    exchange.on_status(0.3, 200, None)
    exchange.finish(0.3, Result.SUCCESS)
    write = RetryState(state.destinations["payments"], 0.4, float("-inf"))
    assert write.admit(0.4) is Admission.GO
    write.on_status(0.5, 503, None)
    write.finish(0.5, Result.SERVER_ERROR)
    client = await opened(state)

    view = await destination_at(client)

    assert (view["requests"], view["attempts"]) == (2, 3)
    assert view["requests_by_outcome"]["success"] == 1
    assert view["attempts_by_kind"] == {"first": 2, "retry": 1, "reconnect": 0}
    assert view["retries_by_cause"] == {"status_503": 1}
    assert view["refusals"]["not_idempotent"] == 1
    assert view["amplification"] == {"last_10s": 1.5, "overall": 1.5}
    assert view["budget"]["retry_ratio"] == 0.5
    assert 0.05 < view["latency"]["attempt"]["p50"] <= 0.1


async def test_requests_that_were_never_sent_do_not_hide_amplification(opened: Open) -> None:
    state = SetState()
    tally = state.destinations["payments"].tally
    tally.requests[Result.SERVER_ERROR] = 10
    tally.requests[Result.REFUSED] = 90
    tally.attempts[AttemptKind.FIRST][Result.SERVER_ERROR] = 10
    tally.attempts[AttemptKind.RETRY][Result.SERVER_ERROR] = 20
    client = await opened(state)

    view = await destination_at(client)

    assert view["amplification"]["overall"] == 3.0


async def test_the_index_names_every_address_there_is(opened: Open) -> None:
    client = await opened(SetState())

    response = await client.get("/?format=json")

    assert (await response.json())["addresses"] == INDEX
    for path in INDEX:
        assert (await client.get(path.removeprefix("POST "))).status == (405 if path.startswith("POST") else 200)


async def test_a_reload_that_succeeds(opened: Open) -> None:
    state = SetState()
    client = await opened(state)

    response = await client.post("/policy/reload", headers=BEARER)

    assert (response.status, await response.json()) == (200, {"ok": True, "version": 8, "findings": [], "left_out": []})
    assert state.reload_count == 1


async def test_a_reload_that_finds_faults_shows_them(opened: Open) -> None:
    client = await opened(SetState(result=ReloadResult(ok=False, version=7, findings=[FINDING])))

    response = await client.post("/policy/reload", headers=BEARER)

    assert response.status == 422
    assert await response.json() == {"ok": False, "version": 7, "findings": [FINDING], "left_out": []}


async def test_a_reload_that_breaks_is_a_500(opened: Open) -> None:
    client = await opened(SetState(result=RuntimeError("disk gone")))

    response = await client.post("/policy/reload", headers=BEARER)

    assert response.status == 500


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}], ids=str)
async def test_a_page_can_not_make_it_reload(opened: Open, headers: dict[str, str]) -> None:
    state = SetState()
    client = await opened(state)

    response = await client.post("/policy/reload", headers={**BEARER, **headers})

    assert response.status in {403, 421}
    assert state.reload_count == 0


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/metrics", "/policy", "/destinations"])
async def test_head_answers_like_get_without_a_body(opened: Open, path: str) -> None:
    client = await opened(SetState())

    response = await client.head(path)

    assert response.status == 200
    assert int(response.headers["Content-Length"]) > 0
    assert await response.read() == b""


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/%2e%2e/etc/passwd", "/" + "a" * 8000])
async def test_an_unknown_path_is_a_404_and_says_so_briefly(opened: Open, path: str) -> None:
    client = await opened(SetState())

    response = await client.get(path)

    assert response.status == 404
    assert response.content_type == "application/problem+json"
    assert len(await response.read()) < 400
