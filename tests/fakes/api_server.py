"""As much of a Kubernetes API server as helm's `lookup` asks: discovery, the namespaces, and Secrets."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

VERSION = {"major": "1", "minor": "35", "gitVersion": "v1.35.0", "platform": "linux/amd64"}
KINDS = {
    "v1": ("Namespace", "Secret", "ConfigMap", "Service", "ServiceAccount", "Pod"),
    "apps/v1": ("Deployment",),
    "policy/v1": ("PodDisruptionBudget",),
    "admissionregistration.k8s.io/v1": ("MutatingWebhookConfiguration",),
}
"""What the chart has objects of."""
OF_NO_NAMESPACE = {"Namespace", "MutatingWebhookConfiguration"}


def answers(namespaces: Mapping[str, Mapping[str, str]], secrets: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """What is at which path. `namespaces` are labels by name, `secrets` a release's base64 data by
    NAMESPACE/NAME."""
    found: dict[str, Any] = {
        "/version": VERSION,
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [_group(version) for version in KINDS if "/" in version],
        },
        **{_place(version): _resources(version) for version in KINDS},
        "/api/v1/namespaces": {
            "kind": "NamespaceList",
            "apiVersion": "v1",
            "metadata": {},
            "items": [{"metadata": {"name": name, "labels": dict(labels)}} for name, labels in namespaces.items()],
        },
    }
    for place, data in secrets.items():
        namespace, name = place.split("/")
        owner = {"meta.helm.sh/release-name": "retry-sidecar", "meta.helm.sh/release-namespace": namespace}
        labels = {"app.kubernetes.io/managed-by": "Helm"}
        metadata = {"name": name, "namespace": namespace, "labels": labels, "annotations": owner}
        secret = {"kind": "Secret", "apiVersion": "v1", "metadata": metadata, "data": dict(data)}
        found[f"/api/v1/namespaces/{namespace}/secrets/{name}"] = secret
    return found


def _place(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _group(version: str) -> dict[str, Any]:
    served = {"groupVersion": version, "version": version.partition("/")[2]}
    return {"name": version.partition("/")[0], "versions": [served], "preferredVersion": served}


def _resources(version: str) -> dict[str, Any]:
    resources = [
        {"name": f"{kind.lower()}s", "kind": kind, "namespaced": kind not in OF_NO_NAMESPACE, "verbs": ["get", "list"]}
        for kind in KINDS[version]
    ]
    return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}


@contextmanager
def api_server(folder: Path, given: Mapping[str, Any]) -> Iterator[Path]:
    """Serve it on a port that the system chose; the kubeconfig that leads there."""

    class View(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            body = json.dumps(given.get(path, {"kind": "Status", "code": 404, "reason": "NotFound"})).encode()
            self.send_response(200 if path in given else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), View)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": address}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "users": [{"name": "x", "user": {"token": "t"}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(config), encoding="utf-8")
    try:
        yield folder / "kubeconfig"
    finally:
        server.shutdown()
        server.server_close()
