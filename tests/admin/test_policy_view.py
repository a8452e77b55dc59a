"""The policy as JSON, from a running process."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sidecar.admin.policy_view import policy_view
from sidecar.governance.policy.snapshot import Snapshot
from sidecar.governance.review.explain import Explanation, explain_call_route
from tests.app.processes import under_an_exception
from tests.fakes.documents import POLICY, SIDECAR, Loading
from tests.fakes.origin import Origin, replying, response


async def test_whoever_asks_at_the_instant_is_told_what_holds_from_it_on(tmp_path: Path) -> None:
    """Even when the loop has not come to its timer yet."""
    now = [datetime(2026, 12, 4, 23, 59, 59, tzinfo=UTC)]
    async with Origin(replying(response(200))) as origin:
        async with under_an_exception(origin.port, tmp_path, lambda: now[0]) as sidecar:
            last = json.loads(json.dumps(sidecar.state.policy_view()))
            now[0] += timedelta(seconds=1)
            after = json.loads(json.dumps(sidecar.state.policy_view()))

    ratios = [view["destinations"]["payments"]["budget.ratio"] for view in (last, after)]
    assert ratios[0] == {
        "value": "0.35",
        "source": "exception",
        "place": f"{tmp_path}/sidecar.yaml:7",
        "exception": "EX-1",
    }
    assert ratios[1] == {"value": "0.1", "source": "baseline", "place": "built in"}
    states = [(view["exceptions"][0]["state"], view["exceptions"][0]["remaining_seconds"]) for view in (last, after)]
    assert states == [("live", 1.0), ("expired", 0.0)]


ROUTES = """\
destinations:
  payments:
    routes:
      - name: reports
        match: {methods: [GET], path: "/reports/{id}"}
        timeout: 60s
"""
SERVICE_ROUTES = """\
    routes:
      - {name: reports, retry: {max_attempts: 2}}
      - name: feed
        match: {path: /feed}
        idle_timeout: 10m
ingress:
  listen: 127.0.0.1:16006
  app: http://127.0.0.1:8080
  idempotency: {store: {memory: volatile}}
  routes:
    - name: pay
      match: {methods: [POST], path: /pay}
      class: at_most_once
      retention: 2h
"""


def view_of(snapshot: Snapshot) -> dict[str, Any]:
    now = datetime(2026, 12, 4, tzinfo=UTC)
    view = policy_view(snapshot, now, origin="source", offered=None, rollout="none", shadows={}, warnings=(), uses={})
    return json.loads(json.dumps(view))


def as_shown(explanation: Explanation) -> dict[str, str]:
    origin = explanation.origin
    return {"value": origin.value, "source": origin.source.value, "place": origin.place}


def test_a_destinations_routes_have_the_numbers_that_explain_tells_of_them(loading: Loading) -> None:
    snapshot = loading(sidecar=SIDECAR + SERVICE_ROUTES, policy=POLICY + ROUTES)

    view = view_of(snapshot)

    routes = snapshot.destinations["payments"].routes
    assert [route["name"] for route in view["routes"]["payments"]] == ["reports", "feed"]
    for route, shown in zip(routes, view["routes"]["payments"], strict=True):
        explained = {each.field: as_shown(each) for each in explain_call_route(snapshot, route)}
        assert shown["settings"] == explained
    reports, feed = (route["settings"] for route in view["routes"]["payments"])
    assert reports["match"]["value"] == "GET /reports/{id}"
    assert (reports["timeout"]["value"], reports["timeout"]["source"]) == ("60s", "platform")
    assert (reports["retry.max_attempts"]["value"], reports["retry.max_attempts"]["source"]) == ("2", "override")
    assert (feed["idle_timeout"]["value"], feed["idle_timeout"]["source"]) == ("10m", "override")
    assert "budget.ratio" not in reports


def test_the_services_own_routes_have_the_terms_of_their_contract(loading: Loading) -> None:
    (pay,) = view_of(loading(sidecar=SIDECAR + SERVICE_ROUTES, policy=POLICY + ROUTES))["ingress_routes"]

    assert (pay["name"], pay["match"]) == ("pay", "POST /pay")
    assert pay["settings"]["idempotency.retention"]["value"] == "2h"
    assert all(name.startswith("idempotency.") for name in pay["settings"])


def test_a_destination_without_routes_is_not_among_them(loading: Loading) -> None:
    view = view_of(loading())

    assert (view["routes"], view["ingress_routes"]) == ({}, [])
