import json

import pytest

from sidecar.governance.documents.finding import InvalidDocument
from tests.fakes.imports import codes, imported, left, settings


def retry(instance: dict[str, object], **configs: dict[str, object]) -> str:
    return json.dumps({"resilience4j": {"retry": {"configs": configs, "instances": {"backendA": instance}}}})


def test_attempts_include_the_first_and_are_three_by_default() -> None:
    assert settings(imported(retry({"maxAttempts": 2})))["backend-a: retry.max_attempts"] == "2"
    assert settings(imported(retry({})))["backend-a: retry.max_attempts"] == "3"


def test_an_instance_inherits_from_its_base_that_from_its_own_and_all_from_default() -> None:
    text = retry(
        {"baseConfig": "slow"},
        slow={"baseConfig": "slower", "waitDuration": "1s"},
        slower={"waitDuration": "9s", "maxAttempts": 2},
        default={"maxAttempts": 4, "enableExponentialBackoff": True},
    )

    result = imported(text)

    assert settings(result)["backend-a: retry.backoff.base"] == "1s"
    assert settings(result)["backend-a: retry.max_attempts"] == "2"
    assert "fixed_delay" not in codes(result)


def test_bases_in_a_circle_end() -> None:
    assert imported(retry({"baseConfig": "a"}, a={"baseConfig": "b"}, b={"baseConfig": "a"})).destinations


def test_a_base_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidDocument, match="must name one of configs"):
        imported(retry({"baseConfig": "lost"}))


@pytest.mark.parametrize("key", ["resilience4j.retry", "resilience4j"])
def test_keys_with_dots_and_in_kebab_case_are_springs_too(key: str) -> None:
    inner = {"instances": {"pay": {"max-attempts": 2}}}

    text = json.dumps({key: inner if "." in key else {"retry": inner}})

    assert settings(imported(text))["pay: retry.max_attempts"] == "2"


def test_a_fixed_delay_without_jitter_is_unsafe() -> None:
    assert {"fixed_delay", "no_jitter", "no_budget", "retries_writes", "retries_everything"} <= codes(
        imported(retry({"waitDuration": "500ms"}))
    )


def test_a_growing_random_wait_is_not() -> None:
    text = retry({"enableExponentialBackoff": True, "enableRandomizedWait": True})

    assert not {"fixed_delay", "no_jitter"} & codes(imported(text))


def test_exceptions_are_statuses_and_faults_and_500_is_unsafe() -> None:
    text = retry({"retryExceptions": ["java.net.ConnectException", "org.x.HttpServerErrorException", "com.own.Odd"]})

    result = imported(text)

    assert settings(result)["backend-a: retry.statuses"] == "[502, 503, 504]"
    assert settings(result)["backend-a: retry.faults"] == "[connect_failure]"
    assert "retries_500" in codes(result)
    assert any("Odd is the application's own" in note.text for note in left(result))


def test_breaker_time_limit_and_bulkhead_are_the_destinations() -> None:
    text = json.dumps(
        {
            "resilience4j": {
                "circuitbreaker": {"instances": {"a": {"failureRateThreshold": 60, "minimumNumberOfCalls": 10}}},
                "timelimiter": {"instances": {"a": {"timeoutDuration": "PT2S"}}},
                "bulkhead": {"instances": {"a": {"maxConcurrentCalls": 25}}},
            }
        }
    )

    assert settings(imported(text)) == {
        "a: breaker.failure_ratio": "0.6",
        "a: breaker.min_requests": "10",
        "a: per_attempt_timeout": "2s",
        "a: concurrency.max_in_flight": "25",
    }
