"""deploy/kubernetes is what the chart and `sidecar inject` give, for those without Helm or a webhook."""

import pytest
import yaml

from tests.deploy.plain_manifests import FOLDER, NAMESPACE, SETTINGS_HEAD, injected, injection_settings, manifests
from tests.fakes.kubernetes import assert_valid, pods_of, unrestricted


def text_of(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def test_the_webhook_and_the_policy_are_what_the_chart_gives() -> None:
    assert text_of("retry-sidecar.yaml") == manifests(), "run `make manifests`"


def test_the_settings_are_those_of_the_charts_webhook() -> None:
    assert text_of("injection.yaml") == SETTINGS_HEAD + injection_settings(), "run `make manifests`"


def test_the_workload_with_a_sidecar_is_what_inject_makes_of_the_one_without() -> None:
    assert text_of("checkout-with-sidecar.yaml") == injected(text_of("checkout.yaml"), text_of("injection.yaml"))


@pytest.mark.parametrize("name", ["checkout.yaml", "checkout-with-sidecar.yaml"])
def test_the_workload_is_valid(name: str) -> None:
    assert_valid(yaml.safe_load_all(text_of(name)))


def test_the_objects_are_valid_restricted_and_in_the_namespace_that_is_made_first() -> None:
    first, *others = yaml.safe_load_all(text_of("retry-sidecar.yaml"))

    assert_valid(others)
    assert [unrestricted(pod) for pod in pods_of(others)] == [[]]
    assert (first["kind"], first["metadata"]["name"]) == ("Namespace", NAMESPACE)
    assert {item["metadata"].get("namespace", NAMESPACE) for item in others} == {NAMESPACE}
