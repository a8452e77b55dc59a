"""What the chart finds in the cluster and keeps: its certificate, and the namespaces that are labelled by then."""

import base64
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.deploy.test_chart import of_kind, the
from tests.fakes.api_server import answers, api_server
from tests.fakes.helm import CHART, Document, helm

KEPT = {
    name: base64.b64encode(f"the {name} from before".encode()).decode() for name in ("tls.crt", "tls.key", "ca.crt")
}
NAMESPACES = {"shop": {"sidecar.io/inject": "enabled"}, "stock": {"sidecar.io/inject": "disabled"}, "old": {}}


def rendered(folder: Path, values: Mapping[str, object], secrets: Mapping[str, Mapping[str, str]]) -> list[Document]:
    """The objects, with what a cluster answers to `lookup`."""
    command = ("template", "retry-sidecar", str(CHART), "--namespace", "sidecar-system")
    with api_server(folder, answers(NAMESPACES, secrets)) as cluster:
        text = helm(*command, "--dry-run=server", "--disable-openapi-validation", values=values, cluster=cluster)
    return [document for document in yaml.safe_load_all(text) if document]


def test_an_upgrade_keeps_the_certificate_that_helm_made(tmp_path: Path) -> None:
    objects = rendered(tmp_path, {}, {"sidecar-system/retry-sidecar-webhook-tls": KEPT})

    assert the(objects, "Secret")["data"] == KEPT
    webhooks = the(objects, "MutatingWebhookConfiguration")["webhooks"]
    assert {webhook["clientConfig"]["caBundle"] for webhook in webhooks} == {KEPT["ca.crt"]}


def test_an_upgrade_that_is_told_to_makes_a_new_one(tmp_path: Path) -> None:
    values = {"webhook": {"certificate": {"renew": True}}}

    objects = rendered(tmp_path, values, {"sidecar-system/retry-sidecar-webhook-tls": KEPT})

    assert the(objects, "Secret")["data"]["tls.crt"] != KEPT["tls.crt"]


def test_the_policy_is_copied_to_the_namespaces_that_are_labelled(tmp_path: Path) -> None:
    objects = rendered(tmp_path, {"namespaces": {"old": {"policy": True}}}, {})

    policies = [item for item in of_kind(objects, "ConfigMap") if item["metadata"]["name"] == "retry-sidecar-policy"]
    assert {item["metadata"]["namespace"] for item in policies} == {"old", "shop", "sidecar-system"}


def test_a_namespace_can_be_left_out_although_it_is_labelled(tmp_path: Path) -> None:
    values = {"namespaces": {"shop": {"policy": False}}}

    objects = rendered(tmp_path, values, {})

    assert {item["metadata"]["namespace"] for item in of_kind(objects, "ConfigMap")} == {"sidecar-system"}
