"""Routes of both documents, resolved over their destination: whose word counts, and what bounds it."""

import pytest

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.governance.policy.resolve import Source
from sidecar.governance.policy.snapshot import DestinationSnapshot
from tests.fakes.documents import EXCEPTION, POLICY, SIDECAR, Loading

PLATFORM = (
    POLICY
    + """\
destinations:
  payments:
    timeout: 9s
    routes:
      - name: reports
        match: {methods: [GET], path: "/reports/{id}"}
        timeout: 60s
        per_attempt_timeout: 30s
      - name: charge
        match: {methods: [POST], path: /charges}
        idempotency_key: {honours: true, retention: 24h}
"""
)
SERVICE = (
    SIDECAR
    + """\
    overrides: {timeout: 3s}
    routes:
      - {name: reports, retry: {max_attempts: 2}}
      - name: feed
        match: {path: /feed}
        idle_timeout: 10m
"""
)


def payments(loading: Loading, sidecar: str = SERVICE, policy: str = PLATFORM) -> DestinationSnapshot:
    return loading(sidecar=sidecar, policy=policy).destinations["payments"]


def refusal(loading: Loading, sidecar: str = SERVICE, policy: str = PLATFORM) -> list[str]:
    with pytest.raises(InvalidDocument) as caught:
        loading(sidecar=sidecar, policy=policy)
    return [str(finding) for finding in caught.value.findings]


def test_the_platforms_come_first_and_the_services_after_them(loading: Loading) -> None:
    routes = payments(loading).routes

    assert [(route.name, route.match.text) for route in routes] == [
        ("reports", "GET /reports/{id}"),
        ("charge", "POST /charges"),
        ("feed", "/feed"),
    ]


def test_a_route_is_laid_over_its_destination_and_a_services_over_the_platforms(loading: Loading) -> None:
    destination = payments(loading)

    reports, charge, feed = (route.policy for route in destination.routes)
    assert (reports.timeout, reports.per_attempt_timeout, reports.retry.max_attempts) == (60.0, 30.0, 2)
    assert (charge.timeout, charge.honours_keys, charge.key_retention) == (3.0, True, 86400.0)
    assert (feed.timeout, feed.idle_timeout, feed.honours_keys) == (3.0, 600.0, False)
    assert {policy.budget for policy in (reports, charge, feed)} == {destination.policy.budget}
    assert (destination.policy.timeout, destination.policy.honours_keys) == (3.0, False)


def test_every_number_of_a_route_says_where_it_is_from(loading: Loading) -> None:
    provenance = payments(loading).routes[0].resolution.provenance

    assert (provenance["timeout"].source, provenance["timeout"].place) == (Source.PLATFORM, "policy.yaml:9")
    assert (provenance["retry.max_attempts"].source, provenance["retry.max_attempts"].line) == (Source.OVERRIDE, 8)


@pytest.mark.parametrize(
    ("route", "finding"),
    [
        (
            "{name: x, match: {path: /x}, retry: {max_attempts: 9}}",
            "routes[0].retry.max_attempts: must be at most 4 (guardrail, built in), got 9",
        ),
        (
            "{name: x, match: {path: /x}, idempotency_key: {honours: true, retention: 1h}}",
            "routes[0].idempotency_key.honours: must be only false (guardrail, built in), got true",
        ),
        (
            "{name: x, match: {path: /x}, retry: {backoff: {base: 2s, max: 1s}}}",
            'routes[0].retry.backoff.max: must be at least retry.backoff.base (2s, sidecar.yaml:7), got "1s"',
        ),
        ("{name: x}", "routes[0].match: is required: the platform has no route of this name"),
        (
            "{name: charge, match: {path: /x}}",
            "routes[0].match: is for the platform to say, which has a route of this name (policy.yaml:12)",
        ),
        ("{name: x, match: {path: /x}, budget: {ratio: 0.1}}", "routes[0].budget: is not known"),
        ("{name: X, match: {path: /x}}", "routes[0].name: must be a name of at most 63 of a-z"),
        (
            "{name: x, match: {path: x}}",
            "routes[0].match.path: must be a path like /v1/payments/{id}, beginning with /",
        ),
        ("{name: x, match: {path: /x, methods: [get]}}", "routes[0].match.methods[0]: must be a method in upper case"),
    ],
)
def test_what_is_wrong_with_a_services_route_is_told_where_it_stands(
    loading: Loading, route: str, finding: str
) -> None:
    found = refusal(loading, SIDECAR + f"    routes:\n      - {route}\n")

    assert found[0].startswith(f"sidecar.yaml:7: destinations.payments.{finding}")


def test_two_routes_of_one_name_and_too_many_routes_are_refused(loading: Loading) -> None:
    twice = "      - {name: x, match: {path: /x}}\n      - {name: x, match: {path: /y}}\n"
    many = "".join(f"      - {{name: r{number}, match: {{path: /{number}}}}}\n" for number in range(51))

    assert refusal(loading, SIDECAR + "    routes:\n" + twice) == [
        'sidecar.yaml:8: destinations.payments.routes[1].name: must not be another route\'s name, got "x"'
    ]
    assert refusal(loading, SIDECAR + "    routes:\n" + many) == [
        "sidecar.yaml:6: destinations.payments.routes: must have at most 50 entries"
    ]


def test_the_platforms_routes_are_inside_its_guardrails_too(loading: Loading) -> None:
    wrong = PLATFORM.replace("timeout: 60s", "retry: {max_attempts: 5}")

    path = "policy.yaml:9: destinations.payments.routes[0].retry.max_attempts:"
    assert refusal(loading, SIDECAR, wrong) == [f"{path} must be at most 4 (guardrail, built in), got 5"]


def test_an_exception_of_the_destination_lets_a_route_past_too(loading: Loading) -> None:
    exception = EXCEPTION.replace("budget.ratio", "retry.max_attempts").replace("0.35", "5")
    route = "    routes: [{name: x, match: {path: /x}, retry: {max_attempts: 5}}]\n"

    snapshot = loading(sidecar=SIDECAR + route, policy=POLICY + exception)

    destination = snapshot.destinations["payments"]
    assert destination.routes[0].policy.retry.max_attempts == 5
    assert destination.policy.retry.max_attempts == 3
    assert snapshot.resolutions["payments.x"].excepted["retry.max_attempts"].grant.id == "EX-1"


def test_the_service_itself_has_no_routes_of_this_kind(loading: Loading) -> None:
    ingress = "destinations:\n  ingress:\n    routes: [{name: x, match: {path: /x}}]\n"

    assert refusal(loading, SIDECAR, POLICY + ingress) == [
        "policy.yaml:5: destinations.ingress.routes: is for destinations, not for the service itself"
    ]
