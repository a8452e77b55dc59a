"""The whole of an import, against golden files, and the law that its documents are accepted."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.governance.review.check import Candidate, judge
from sidecar.migration.import_report import as_json
from sidecar.migration.policy_import import Imported, import_policy
from tests.fakes.imports import codes, envoy_route, imported

EXAMPLES = Path(__file__).parent / "examples"
GOLDEN = Path(__file__).parent / "golden"
A_DURATION = "must be a duration, like 250ms, 1.5s or 1m"
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def findings_of(result: Imported) -> list[str]:
    """What `sidecar policy check` finds in the two documents."""
    candidates = [Candidate("policy.yaml", result.policy.encode()), Candidate("sidecar.yaml", result.sidecar.encode())]
    return [str(finding) for finding in judge(candidates, lambda _: None, NOW).findings]


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.iterdir()))
def test_an_example_comes_to_its_golden_documents_and_notes(name: str) -> None:
    """`cd tests/migration/examples && sidecar policy import NAME --format json > ../golden/NAME.json` writes them."""
    result = import_policy(
        [(name, (EXAMPLES / name).read_bytes())],
        dialect=None,
        owner="platform-reliability",
        service="imported",
        policy_file="policy.yaml",
    )

    assert as_json(result) == (GOLDEN / f"{name}.json").read_text(encoding="utf-8")
    assert findings_of(result) == []


def test_all_examples_together_are_one_accepted_policy() -> None:
    files = [(path.name, path.read_bytes()) for path in sorted(EXAMPLES.iterdir())]

    result = import_policy(files, dialect=None, owner="platform", service="shop", policy_file="policy.yaml")

    assert findings_of(result) == []
    assert {dialect for found in result.read.values() for dialect in found} == {
        "envoy",
        "istio",
        "linkerd",
        "resilience4j",
    }


def test_retries_in_two_layers_multiply_and_are_unsafe() -> None:
    application = "resilience4j: {retry: {instances: {payments: {maxAttempts: 3}}}}\n"

    result = imported(envoy_route({"retry_on": "5xx", "num_retries": 3}), application)

    told = [note.text for note in result.unsafe if note.code == "layers"]
    assert len(told) == 2
    assert all("up to 12 attempts of one call" in text for text in told)


def test_what_is_careful_in_the_original_is_not_called_unsafe() -> None:
    policy = {
        "retry_on": "gateway-error",
        "num_retries": 2,
        "retry_back_off": {"base_interval": "0.025s", "max_interval": "1s"},
        "rate_limited_retry_back_off": {"reset_headers": [{"name": "Retry-After"}], "max_interval": "10s"},
    }
    cluster = {"clusters": [{"name": "payments", "circuit_breakers": {"thresholds": [{"retry_budget": {
        "budget_percent": {"value": 10}}}]}}]}  # fmt: skip
    route = json.loads(envoy_route(policy))
    route["virtual_hosts"][0]["routes"][0]["match"]["headers"] = [{"name": ":method", "string_match": {"exact": "GET"}}]

    result = imported(json.dumps(route), json.dumps(cluster))

    assert codes(result) == set()


def test_a_file_without_anything_to_import_is_refused_with_its_name() -> None:
    with pytest.raises(InvalidDocument) as caught:
        imported("kind: ConfigMap\napiVersion: v1\n")

    assert str(caught.value) == "a.yaml: has nothing of envoy, istio, linkerd, resilience4j to import"


def test_a_wrong_value_is_refused_with_file_line_and_field() -> None:
    with pytest.raises(InvalidDocument) as caught:
        imported(
            "resilience4j:\n  retry:\n    instances:\n      pay:\n"
            "        maxAttempts: many\n        waitDuration: soon\n"
        )

    assert str(caught.value).splitlines() == [
        'a.yaml:5: resilience4j.retry.instances.pay.maxAttempts: must be a whole number from 0 on, got "many"',
        f'a.yaml:6: resilience4j.retry.instances.pay.waitDuration: {A_DURATION}, got "soon"',
    ]


def test_the_dialect_that_is_asked_for_is_read_alone() -> None:
    application = "resilience4j: {retry: {instances: {stock: {maxAttempts: 3}}}}\n"
    both = f"{application}---\n{envoy_route({'retry_on': '5xx'})}\n"

    result = imported(both, dialect="resilience4j")

    assert result.destinations == ("stock",)


def test_a_list_of_kubernetes_objects_is_read_item_by_item() -> None:
    service = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "spec": {"hosts": ["a"], "http": [
        {"route": [{"destination": {"host": "a"}}], "retries": {"attempts": 1}}]}}  # fmt: skip

    result = imported(json.dumps({"apiVersion": "v1", "kind": "List", "items": [service]}))

    assert result.destinations == ("a",)


DURATIONS = st.sampled_from(["0s", "0.001s", "0.05s", "1s", "3s", "90s", "7200s", "100000s"])
COUNTS = st.sampled_from([0, 1, 2, 3, 5, 50, 4096, 5000, 4294967295])
WORDS = st.lists(
    st.sampled_from(
        ["5xx", "gateway-error", "reset", "connect-failure", "retriable-4xx", "unavailable", "503", "429", "x"]
    ),
    max_size=4,
)


def without_none(**fields: object) -> dict[str, object]:
    return {key: value for key, value in fields.items() if value is not None}


@st.composite
def envoy_documents(draw: st.DrawFn) -> str:
    def maybe(strategy: st.SearchStrategy[object]) -> object:
        return draw(st.none() | strategy)

    policy = without_none(
        retry_on=",".join(draw(WORDS)) or "5xx",
        num_retries=maybe(COUNTS),
        per_try_timeout=maybe(DURATIONS),
        retry_back_off=without_none(base_interval=maybe(DURATIONS), max_interval=maybe(DURATIONS)),
        rate_limited_retry_back_off=without_none(max_interval=maybe(DURATIONS)),
    )
    paths = draw(
        st.lists(st.sampled_from(["/a", "/b/{x}", "/", "/ü", "/a b", "/v1/x%20y", "//"]), min_size=1, max_size=4)
    )
    routes = [
        {
            "match": draw(
                st.sampled_from([{"path": path}, {"prefix": path}, {"safe_regex": {"regex": path + "/[^/]+"}}])
            ),
            "route": without_none(
                cluster=draw(st.sampled_from(["payments", "Ingress", "unlisted", "a.b_c|d", "x" * 90])),
                timeout=maybe(DURATIONS),
                idle_timeout=maybe(DURATIONS),
                retry_policy=policy,
            ),
        }
        for path in paths
    ]
    threshold = without_none(max_requests=maybe(COUNTS), max_pending_requests=maybe(COUNTS), max_retries=maybe(COUNTS))
    percent = draw(st.none() | st.sampled_from([0, 5, 20.5, 100]))
    if percent is not None:
        threshold["retry_budget"] = {"budget_percent": {"value": percent}}
    cluster = {
        "name": "payments",
        "circuit_breakers": {"thresholds": [threshold]},
        "outlier_detection": without_none(consecutive_5xx=maybe(COUNTS)),
    }
    domains = draw(st.lists(st.sampled_from(["*", "payments", "Payments.svc", "p:8080", "a b", "*.x"]), max_size=3))
    return json.dumps({"virtual_hosts": [{"name": "v", "domains": domains, "routes": routes}], "clusters": [cluster]})


@settings(max_examples=150)
@given(envoy_documents())
def test_whatever_is_imported_is_accepted_by_the_policy_check(text: str) -> None:
    assert findings_of(imported(text)) == []


@st.composite
def applications(draw: st.DrawFn) -> str:
    def maybe(strategy: st.SearchStrategy[object]) -> object:
        return draw(st.none() | strategy)

    flag = st.booleans()
    retry = without_none(
        maxAttempts=maybe(COUNTS),
        waitDuration=maybe(st.sampled_from(["0", "1ms", "500", "PT30S", "1h"])),
        enableExponentialBackoff=maybe(flag),
        enableRandomizedWait=maybe(flag),
        exponentialMaxWaitDuration=maybe(DURATIONS),
        retryExceptions=maybe(st.just(["java.io.IOException", "x.Y", "a.HttpServerErrorException$BadGateway"])),
    )
    breaker = without_none(
        failureRateThreshold=maybe(st.sampled_from([0, 1, 50, 100])),
        minimumNumberOfCalls=maybe(COUNTS),
        slidingWindowSize=maybe(COUNTS),
        slidingWindowType=maybe(st.sampled_from(["TIME_BASED", "COUNT_BASED"])),
        permittedNumberOfCallsInHalfOpenState=maybe(COUNTS),
    )
    return json.dumps(
        {
            "resilience4j": {
                "retry": {"instances": {"backendA": retry}},
                "circuitbreaker": {"instances": {"backendA": breaker}},
                "timelimiter": {"instances": {"backendA": without_none(timeoutDuration=maybe(DURATIONS))}},
                "bulkhead": {"instances": {"backendA": without_none(maxConcurrentCalls=maybe(COUNTS))}},
            }
        }
    )


@settings(max_examples=150)
@given(applications())
def test_whatever_spring_says_is_accepted_by_the_policy_check(text: str) -> None:
    assert findings_of(imported(text)) == []
