"""The plain manifests of deploy/kubernetes: what the chart gives, without Helm's own labels.

`make manifests` writes them; a test holds them.
"""

import sys

import yaml

from tests.fakes.helm import Document, render

NAMESPACE = "sidecar-system"
HEAD = """\
# The webhook and the policy, as the chart gives them for cert-manager. Made from helm/ by `make manifests`.
#   kubectl apply --filename retry-sidecar.yaml
"""
VALUES = {"webhook": {"certificate": {"source": "cert-manager"}}, "test": {"enabled": False}}
OF_HELM = ("app.kubernetes.io/managed-by", "helm.sh/chart")


def without_helm(node: object) -> object:
    """The same, without the labels by which Helm knows its own."""
    if isinstance(node, dict):
        return {key: without_helm(value) for key, value in node.items() if key not in OF_HELM}
    return [without_helm(item) for item in node] if isinstance(node, list) else node


def manifests() -> str:
    """The file."""
    pod_security = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace: Document = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": pod_security},
    }
    objects = [namespace, *(without_helm(document) for document in render(VALUES, NAMESPACE))]
    return HEAD + yaml.safe_dump_all(objects, sort_keys=False, width=1000, explicit_start=True)


if __name__ == "__main__":
    sys.stdout.write(manifests())
