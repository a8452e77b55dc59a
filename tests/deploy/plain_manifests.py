"""The plain manifests of deploy/kubernetes: what the chart gives, without Helm's own labels.

`make manifests` writes them; a test holds them.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml
from click.testing import CliRunner

from sidecar.cli.inject import inject
from tests.fakes.helm import ROOT, Document, render

FOLDER = ROOT / "deploy/kubernetes"

NAMESPACE = "sidecar-system"
HEAD = """\
# The webhook and the policy, as the chart gives them for cert-manager. Made from helm/ by `make manifests`.
#   kubectl apply --filename retry-sidecar.yaml
"""
SETTINGS_HEAD = """\
# What the webhook puts into pods, for `sidecar inject --settings injection.yaml`. Made from helm/ by `make manifests`.
"""
VALUES = {"webhook": {"certificate": {"source": "cert-manager"}}, "test": {"enabled": False}}
OF_HELM = ("app.kubernetes.io/managed-by", "helm.sh/chart")


def without_helm(node: object) -> object:
    """The same, without the labels by which Helm knows its own."""
    if isinstance(node, dict):
        return {key: without_helm(value) for key, value in node.items() if key not in OF_HELM}
    return [without_helm(item) for item in node] if isinstance(node, list) else node


def manifests() -> str:
    """The webhook and the policy."""
    pod_security = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace: Document = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": pod_security},
    }
    objects = [namespace, *(without_helm(document) for document in render(VALUES, NAMESPACE))]
    return HEAD + yaml.safe_dump_all(objects, sort_keys=False, width=1000, explicit_start=True)


def injection_settings(values: Mapping[str, object] | None = None) -> str:
    """The settings of `sidecar inject`: those of the chart's webhook."""
    data = (document.get("data", {}) for document in render(values or {}) if document["kind"] == "ConfigMap")
    (text,) = [entries["injection.yaml"] for entries in data if "injection.yaml" in entries]
    return str(text)


def injected(manifest: str, settings: str) -> str:
    """What `sidecar inject` makes of a manifest; its complaint where it makes nothing."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "injection.yaml").write_text(settings, encoding="utf-8")
        ran = CliRunner().invoke(inject, ["--settings", f"{folder}/injection.yaml", "-"], input=manifest)
    return ran.stdout if ran.exit_code == 0 else ran.output


def main() -> None:
    """Write the files."""
    settings = injection_settings()
    example = (FOLDER / "checkout.yaml").read_text(encoding="utf-8")
    (FOLDER / "retry-sidecar.yaml").write_text(manifests(), encoding="utf-8")
    (FOLDER / "injection.yaml").write_text(SETTINGS_HEAD + settings, encoding="utf-8")
    (FOLDER / "checkout-with-sidecar.yaml").write_text(injected(example, settings), encoding="utf-8")


if __name__ == "__main__":
    main()
