import json

import pytest

from sidecar.governance.documents.finding import InvalidDocument
from tests.fakes.imports import codes, imported, settings


def service(**annotations: str) -> str:
    named = {key.replace("__", "/").replace("_", "."): value for key, value in annotations.items()}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": "books", "annotations": named},
            "spec": {"ports": [{"port": 80}]},
        }
    )


def profile(*routes: dict[str, object], **budget: object) -> str:
    spec: dict[str, object] = {"routes": list(routes)}
    if budget:
        spec["retryBudget"] = budget
    return json.dumps(
        {
            "apiVersion": "linkerd.io/v1alpha2",
            "kind": "ServiceProfile",
            "metadata": {"name": "web.books.svc.cluster.local", "namespace": "books"},
            "spec": spec,
        }
    )


def test_annotations_of_a_service_are_its_destinations_settings() -> None:
    text = service(retry_linkerd_io__http="503,429", retry_linkerd_io__limit="2", retry_linkerd_io__timeout="400ms")

    result = imported(text)

    assert settings(result) == {
        "web: retry.statuses": "[429, 503]",
        "web: retry.max_attempts": "3",
        "web: per_attempt_timeout": "400ms",
    }
    assert codes(result) == {"no_budget", "no_backoff", "retries_writes"}


def test_one_retry_is_the_default() -> None:
    assert settings(imported(service(retry_linkerd_io__http="503")))["web: retry.max_attempts"] == "2"


@pytest.mark.parametrize("value", ["5xx", "500-504", "500"])
def test_500_among_them_is_unsafe(value: str) -> None:
    result = imported(service(retry_linkerd_io__http=value))

    assert "retries_500" in codes(result)
    assert "500" not in settings(result)["web: retry.statuses"]


def test_a_condition_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidDocument, match="must be statuses like 503"):
        imported(service(retry_linkerd_io__http="sometimes"))


def test_a_route_of_a_profile_is_a_route_and_one_that_is_not_retryable_is_not_retried() -> None:
    result = imported(
        profile(
            {
                "name": "GET /books/{id}",
                "condition": {"method": "GET", "pathRegex": "/books/[^/]*"},
                "isRetryable": True,
                "timeout": "300ms",
            },
            {"name": "DELETE", "condition": {"method": "DELETE", "pathRegex": "/books/[^/]*"}, "isRetryable": False},
            retryRatio=0.1,
            minRetriesPerSecond=1,
            ttl="10s",
        )
    )

    assert settings(result) == {
        "web (get-books-id): retry.statuses": "[502, 503, 504]",
        "web (get-books-id): timeout": "300ms",
        "web (delete): retry.max_attempts": "1",
        "web: budget.ratio": "0.1",
        "web: budget.window": "10s",
        "web: budget.min_retries": "10",
    }


def test_a_post_that_is_retryable_is_unsafe_and_a_get_is_not() -> None:
    def codes_of(method: str) -> set[str]:
        return codes(
            imported(profile({"name": "r", "condition": {"method": method, "pathRegex": "/b"}, "isRetryable": True}))
        )

    assert "retries_writes" in codes_of("POST")
    assert "retries_writes" not in codes_of("GET")


def test_a_floor_per_second_is_unsafe() -> None:
    assert "large_floor" in codes(imported(profile(retryRatio=0.2, minRetriesPerSecond=10, ttl="10s")))
