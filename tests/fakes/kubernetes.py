"""Judges of Kubernetes objects: the API's own schemas, and the Pod Security Standard `restricted`."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator

CHART_FILE = Path(__file__).parents[2] / "helm/retry-sidecar/Chart.yaml"
OLDEST = re.sub(r"[^\d.]|\.0-0$", "", yaml.safe_load(CHART_FILE.read_text(encoding="utf-8"))["kubeVersion"])
NEWEST = kubernetes_validate.latest_version().removesuffix(".0")
SUPPORTED = (OLDEST, NEWEST)

Object = dict[str, Any]
WORDS = {"type": "object", "additionalProperties": {"type": "string"}}


def shape(*required: str, **properties: object) -> Object:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


METADATA = shape(
    "name", "namespace", name={"type": "string"}, namespace={"type": "string"}, labels=WORDS, annotations=WORDS
)
RELABELLING = shape(
    action={"enum": ["keep", "drop", "replace"]},
    sourceLabels={"type": "array", "items": {"type": "string"}},
    targetLabel={"type": "string"},
    replacement={"type": "string"},
    regex={"type": "string"},
)
RULE = shape(
    "expr",
    alert={"type": "string"},
    record={"type": "string"},
    expr={"type": "string"},
    **{"for": {"type": "string"}, "keep_firing_for": {"type": "string"}},
    labels=WORDS,
    annotations=WORDS,
)
ISSUER_REFERENCE = shape("name", name={"type": "string"}, kind={"type": "string"}, group={"type": "string"})
CUSTOM = {
    ("monitoring.coreos.com/v1", "PodMonitor"): shape(
        "selector",
        "podMetricsEndpoints",
        namespaceSelector=shape("any", any={"type": "boolean"}),
        selector={"type": "object"},
        podMetricsEndpoints={
            "type": "array",
            "items": shape(
                "portNumber",
                portNumber={"type": "integer"},
                path={"type": "string"},
                interval={"type": "string"},
                relabelings={"type": "array", "items": RELABELLING},
            ),
        },
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): shape(
        "groups",
        groups={
            "type": "array",
            "items": shape(
                "name",
                "rules",
                name={"type": "string"},
                interval={"type": "string"},
                rules={"type": "array", "items": RULE},
            ),
        },
    ),
    ("cert-manager.io/v1", "Issuer"): shape("selfSigned", selfSigned=shape()),
    ("cert-manager.io/v1", "Certificate"): shape(
        "secretName",
        "issuerRef",
        "dnsNames",
        secretName={"type": "string"},
        dnsNames={"type": "array", "items": {"type": "string"}, "minItems": 1},
        privateKey=shape(
            algorithm={"enum": ["RSA", "ECDSA", "Ed25519"]},
            size={"type": "integer"},
            rotationPolicy={"enum": ["Never", "Always"]},
        ),
        issuerRef=ISSUER_REFERENCE,
    ),
}
"""The fields this project uses of resources that are not Kubernetes' own."""


def assert_valid(objects: Iterable[Object], versions: Iterable[str] = SUPPORTED) -> None:
    """Each object is what these versions of Kubernetes take, without a field they do not know."""
    for document in objects:
        kind = (document["apiVersion"], document["kind"])
        if kind in CUSTOM:
            whole = shape("metadata", "spec", apiVersion={}, kind={}, metadata=METADATA, spec=CUSTOM[kind])
            Draft202012Validator(whole).validate(document)
            continue
        for version in versions:
            _judge(json.dumps(document), version)


@cache
def _judge(document: str, version: str) -> None:
    """One object, once: the variants of a chart are alike in most of theirs."""
    kubernetes_validate.validate(json.loads(document), version, strict=True)


def pods_of(objects: Iterable[Object]) -> Iterator[Mapping[str, Any]]:
    """The specification of each pod, of workloads and of pods."""
    for document in objects:
        match document["kind"]:
            case "Pod":
                yield document["spec"]
            case "CronJob":
                yield document["spec"]["jobTemplate"]["spec"]["template"]["spec"]
            case "Deployment" | "StatefulSet" | "DaemonSet" | "Job":
                yield document["spec"]["template"]["spec"]


def unrestricted(pod: Mapping[str, Any]) -> list[str]:
    """What the Pod Security Standard `restricted` forbids, and a root that can be written."""
    found = [f"{field} is set" for field in ("hostNetwork", "hostPID", "hostIPC") if pod.get(field)]
    security = pod.get("securityContext", {})
    found += [f"volume {volume['name']}: hostPath" for volume in pod.get("volumes", []) if "hostPath" in volume]
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        own = container.get("securityContext", {})
        profile = own.get("seccompProfile", security.get("seccompProfile", {})).get("type")
        rules = {
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities": "ALL" in own.get("capabilities", {}).get("drop", []),
            "runAsNonRoot": own.get("runAsNonRoot", security.get("runAsNonRoot")) is True,
            "runAsUser": own.get("runAsUser", security.get("runAsUser", 1)) != 0,
            "seccompProfile": profile in {"RuntimeDefault", "Localhost"},
            "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
            "hostPort": not any("hostPort" in port for port in container.get("ports", [])),
        }
        found += [f"{container['name']}: {rule}" for rule, kept in rules.items() if not kept]
    return found
