import json

from tests.fakes.imports import codes, imported, left, settings


def virtual_service(namespace: str = "shop", **http: object) -> str:
    route = {"route": [{"destination": {"host": "ratings"}}], **http}
    return json.dumps(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": "ratings", "namespace": namespace},
            "spec": {"hosts": ["ratings"], "http": [route]},
        }
    )


def destination_rule(host: str = "ratings.shop.svc.cluster.local", **policy: object) -> str:
    return json.dumps(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": {"name": "ratings", "namespace": "shop"},
            "spec": {"host": host, "trafficPolicy": policy},
        }
    )


def test_attempts_are_retries_and_two_by_default() -> None:
    assert settings(imported(virtual_service(retries={"attempts": 3})))["ratings: retry.max_attempts"] == "4"
    assert settings(imported(virtual_service(retries={"perTryTimeout": "1s"})))["ratings: retry.max_attempts"] == "3"


def test_no_attempts_switch_retries_off() -> None:
    result = imported(virtual_service(retries={"attempts": 0}))

    assert settings(result) == {"ratings: retry.max_attempts": "1"}
    assert codes(result) == set()


def test_a_short_host_and_its_full_name_are_one_destination() -> None:
    result = imported(virtual_service(timeout="2s"), destination_rule(retryBudget={"percent": 10}))

    assert result.destinations == ("ratings",)
    assert settings(result) == {"ratings: timeout": "2s", "ratings: budget.ratio": "0.1"}
    assert '"http://ratings.shop.svc:80"' in result.sidecar


def test_a_host_of_another_namespace_is_another_destination() -> None:
    result = imported(destination_rule(host="ratings.other.svc.cluster.local", outlierDetection={}))

    assert result.destinations == ("ratings-other",)


def test_retries_without_a_budget_are_unsafe_and_with_one_are_not() -> None:
    retries = {"attempts": 2, "retryOn": "connect-failure"}

    assert "no_budget" in codes(imported(virtual_service(retries=retries)))
    assert "no_budget" not in codes(
        imported(virtual_service(retries=retries), destination_rule(retryBudget={"percent": 10}))
    )


def test_subsets_and_weights_are_left_with_a_reason() -> None:
    targets = [
        {"destination": {"host": "ratings", "subset": "v1"}, "weight": 90},
        {"destination": {"host": "ratings", "subset": "v2"}, "weight": 10},
    ]

    result = imported(virtual_service(route=targets))

    assert any("not split by weight" in note.text for note in left(result))


def test_a_match_of_path_and_method_is_a_route() -> None:
    match = [{"uri": {"exact": "/ratings"}, "method": {"exact": "GET"}}]

    result = imported(virtual_service(match=match, timeout="2s"))

    assert settings(result) == {"ratings (ratings): timeout": "2s"}
    assert 'match: {methods: [GET], path: "/ratings"}' in result.policy
