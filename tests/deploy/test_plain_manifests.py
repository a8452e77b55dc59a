"""deploy/kubernetes is what the chart gives, for those without Helm."""

import yaml

from tests.deploy.plain_manifests import NAMESPACE, manifests
from tests.fakes.helm import ROOT
from tests.fakes.kubernetes import assert_valid, pods_of, unrestricted

FILE = ROOT / "deploy/kubernetes/retry-sidecar.yaml"


def test_the_file_is_what_the_chart_gives() -> None:
    assert FILE.read_text(encoding="utf-8") == manifests(), "run `make manifests`"


def test_its_objects_are_valid_restricted_and_in_the_namespace_it_makes_first() -> None:
    first, *others = yaml.safe_load_all(FILE.read_text(encoding="utf-8"))

    assert_valid(others)
    assert [unrestricted(pod) for pod in pods_of(others)] == [[]]
    assert (first["kind"], first["metadata"]["name"]) == ("Namespace", NAMESPACE)
    assert {item["metadata"].get("namespace", NAMESPACE) for item in others} == {NAMESPACE}
