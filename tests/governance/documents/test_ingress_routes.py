"""`ingress.routes` and `ingress.idempotency`: what can be written, and what is told about what can not."""

import pytest

from sidecar.governance.documents.document import SidecarDocument, read_sidecar
from sidecar.governance.documents.finding import Finding
from sidecar.governance.documents.yaml import parse

HEAD = 'service: pay\ningress:\n  listen: "127.0.0.1:0"\n  app: "http://127.0.0.1:1"\n'
ROUTE = "    - name: create\n      match: {methods: [POST], path: /v1/payments}\n"

PROBED = "  routes:\n" + ROUTE + "      class: at_most_once\n      probe: "


def read(text: str) -> tuple[SidecarDocument | None, list[str]]:
    findings: list[Finding] = []
    document = read_sidecar(parse((HEAD + text).encode(), "s.yaml"), findings)
    return document, [str(finding) for finding in findings]


def test_a_route_says_all_that_the_gate_writes() -> None:
    document, findings = read(
        "  routes:\n" + ROUTE + "      class: at_most_once\n      key: {header: webhook-id}\n      required: true\n"
        "      retention: 24h\n      scope: [x-tenant]\n      ignore_fields: [/metadata/trace]\n"
        "      after_retention: reject\n      wait: 2s\n      released_by: [401, 422]\n"
    )

    assert findings == []
    assert document is not None
    assert document.ingress
    assert isinstance(document.ingress.routes, list)
    (route,) = document.ingress.routes
    assert (route.class_, route.contracted, route.match.covers(b"POST", b"/v1/payments")) == (
        "at_most_once",
        True,
        True,
    )


def test_a_route_may_be_declared_without_a_contract() -> None:
    document, findings = read("  routes:\n" + ROUTE)

    assert findings == []
    assert document is not None
    assert document.ingress
    assert isinstance(document.ingress.routes, list)
    assert not document.ingress.routes[0].contracted


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (
            "  routes:\n" + ROUTE + ROUTE.replace("/v1", "/v2"),
            "ingress.routes[1].name: must not be that of another route, got",
        ),
        ("  routes:\n" + ROUTE + "      key: {}\n", "ingress.routes[0].key: must name header or pointer, one of them"),
        ("  routes:\n" + ROUTE + "      key: {pointer: id}\n", "must be a JSON pointer like /event/id"),
        ("  routes:\n" + ROUTE + "      retention: 24h\n", "goes with class or key: without them the route has no"),
        ("  routes:\n" + ROUTE + "      class: exactly_once\n", "must be at_most_once, best_effort or reexecute_ok"),
        ("  routes:\n    - name: a\n      match: {path: v1}\n", "match.path: must be a path like /v1/payments/{id}"),
        ("  routes:\n" + ROUTE + "      probe: {path: /a, applied: [200]}\n", "probe: goes with class or key: without"),
        (PROBED + "{path: /a}\n", "routes[0].probe: must have statuses of applied or not_applied: no answer would"),
        (PROBED + "{path: /a, applied: [200], not_applied: [200]}\n", "not_applied: must have no status that is in"),
        (PROBED + "{path: a, applied: [200]}\n", "probe.path: must be a path like /payments/by-key/{key}, with no"),
        (PROBED + '{path: "/a/{id}", applied: [200]}\n', "probe.path: must be a path like /payments/by-key/{key}"),
        (PROBED + "{path: /a, applied: [200, 500]}\n", "probe.applied[1]"),
        (PROBED + "{path: /a, applied: [200], after: 25h}\n", "probe.after: must be at most 24h"),
        ("  idempotency: {store: {}}\n", "ingress.idempotency.store: must name sqlite, redis, postgres or memory"),
        ("  idempotency: {store: {sqlite: a, memory: volatile}}\n", "must name sqlite, redis, postgres or memory, one"),
        ("  idempotency: {store: {sqlite: a}, replicas: 2}\n", "must be redis or postgres where replicas is over 1"),
        ("  idempotency: {store: {redis: localhost}}\n", "must be a URL like redis://host:6379/0"),
        ("  idempotency: {store: {sqlite: a, password_file: b}}\n", "password_file: goes with redis or postgres"),
        ("  idempotency: {store: {sqlite: a}, lease: 1s}\n", "lease: must be between 5s and 10m"),
        ("  idempotency: {store: {sqlite: a}, max_request: 0}\n", "max_request: must be between 1B and 64MiB"),
    ],
)
def test_what_is_wrong_is_told(text: str, finding: str) -> None:
    _, findings = read(text)

    assert len(findings) == 1
    assert finding in findings[0]


@pytest.mark.parametrize("path", ["/a", "/a/{key}", "/a?key={key}&b=1", "/a/{key}/outcome?b=1"])
def test_a_probe_may_have_the_key_in_its_path_in_its_query_or_only_in_its_header(path: str) -> None:
    document, findings = read(PROBED + f'{{path: "{path}", applied: [200], not_applied: [404]}}\n')

    assert findings == []
    assert document is not None


def test_contract_terms_are_not_for_destinations() -> None:
    _, findings = read("destinations:\n  a: {endpoints: ['http://a:1'], overrides: {idempotency: {retention: 24h}}}\n")

    assert findings == ["s.yaml:6: destinations.a.overrides.idempotency: is for the service itself: see ingress.routes"]
