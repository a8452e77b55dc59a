import json

import pytest

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.migration.envoy_import import has_envoy
from sidecar.migration.foreign_document import read_documents
from tests.fakes.imports import codes, envoy_route, imported, left, settings


@pytest.mark.parametrize(
    "text",
    [
        "static_resources: {clusters: []}",
        "virtual_hosts: []",
        'resources: [{"@type": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: a}]',
        "configs: [{a: b}]",
    ],
)
def test_a_bootstrap_a_route_configuration_a_response_and_a_dump_are_envoys(text: str) -> None:
    assert has_envoy(read_documents(text.encode(), "a.yaml")[0])


def test_retries_are_attempts_less_the_first_and_one_by_default() -> None:
    assert settings(imported(envoy_route({"retry_on": "503", "num_retries": 2})))["payments: retry.max_attempts"] == "3"
    assert settings(imported(envoy_route({"retry_on": "503"})))["payments: retry.max_attempts"] == "2"


def test_camel_case_of_a_json_dump_is_read() -> None:
    text = envoy_route({"retryOn": "503", "numRetries": 2, "perTryTimeout": "0.250s"})

    assert settings(imported(text))["payments: per_attempt_timeout"] == "250ms"


def test_a_policy_of_the_virtual_host_is_that_of_its_routes() -> None:
    text = (
        '{"virtual_hosts": [{"name": "v", "domains": ["a"], "retry_policy": {"retry_on": "503", "num_retries": 3},'
        '"routes": [{"match": {"prefix": "/"}, "route": {"cluster": "a"}}]}]}'
    )

    assert settings(imported(text))["a: retry.max_attempts"] == "4"


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ({"retry_on": "5xx"}, "retries_500"),
        ({"retry_on": "retriable-status-codes", "retriable_status_codes": [500]}, "retries_500"),
        ({"retry_on": "retriable-4xx"}, "retries_409"),
        ({"retry_on": "reset"}, "retries_writes"),
        ({"retry_on": "503"}, "no_budget"),
        ({"retry_on": "503"}, "ignores_retry_after"),
        ({"retry_on": "503", "num_retries": 4}, "many_attempts"),
        ({"retry_on": "503", "per_try_timeout": "15s"}, "attempt_not_below_timeout"),
    ],
)
def test_a_danger_of_the_original_is_named(policy: dict[str, object], code: str) -> None:
    assert code in codes(imported(envoy_route(policy)))


def test_only_unsent_requests_repeat_no_write() -> None:
    assert "retries_writes" not in codes(imported(envoy_route({"retry_on": "connect-failure,refused-stream"})))


def test_no_timeout_is_unsafe_and_not_written() -> None:
    result = imported(envoy_route({"retry_on": "503"}, timeout="0s"))

    assert "no_timeout" in codes(result)
    assert "payments: timeout" not in settings(result)


def test_hedging_writes_is_unsafe() -> None:
    result = imported(envoy_route({"retry_on": "503"}, hedge_policy={"hedge_on_per_try_timeout": True}))

    assert "hedges_writes" in codes(result)


def test_weighted_clusters_are_destinations_each() -> None:
    text = (
        '{"virtual_hosts": [{"name": "v", "domains": ["a"], "routes": [{"match": {"prefix": "/"}, "route": '
        '{"weighted_clusters": {"clusters": [{"name": "a", "weight": 90}, {"name": "b", "weight": 10}]}}}]}]}'
    )

    assert imported(text).destinations == ("a", "b")


def test_a_budget_and_limits_of_a_cluster_are_translated() -> None:
    threshold = {"max_requests": 50, "max_pending_requests": 9, "retry_budget": {"budget_percent": {"value": 15}}}
    cluster = {"clusters": [{"name": "payments", "circuit_breakers": {"thresholds": [threshold]}}]}

    result = settings(imported(json.dumps(cluster)))

    assert result == {
        "payments: concurrency.max_in_flight": "50",
        "payments: concurrency.max_waiting": "9",
        "payments: budget.ratio": "0.15",
    }


def test_a_few_failures_of_one_endpoint_open_no_breaker_of_the_whole_destination() -> None:
    cluster = {"clusters": [{"name": "a", "connect_timeout": "1s", "outlier_detection": {"consecutive_5xx": 3}}]}

    result = imported(json.dumps(cluster))

    assert settings(result) == {}
    assert any(note.key == "consecutive_5xx" for note in left(result))


def test_a_status_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidDocument, match="must be a status from 100 to 599"):
        imported(envoy_route({"retry_on": "retriable-status-codes", "retriable_status_codes": [7]}))
