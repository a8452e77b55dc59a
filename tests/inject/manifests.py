"""Manifests of every kind, and in every shape that people write them in."""

import json
from typing import Any

import yaml

Object = dict[str, Any]

ENV = {"sidecar.io/env": "PAYMENTS_URL=payments"}


def pod(**spec: Any) -> Object:
    """A pod, or a pod template, whose application calls payments."""
    app = {
        "name": "app",
        "image": "checkout:1",
        "env": [
            {"name": "PAYMENTS_URL", "value": "http://payments.default.svc:8080/v1"},
            {"name": "OTHER", "value": "x"},
        ],
    }
    return {
        "metadata": {"labels": {"app": "checkout"}, "annotations": dict(ENV)},
        "spec": {"containers": [app], "restartPolicy": "Always", **spec},
    }


def workload(kind: str, template: Object | None = None) -> Object:
    """An object of this kind around a pod."""
    template = template or pod()
    template["spec"]["restartPolicy"] = "Never" if kind in ("Job", "CronJob") else "Always"
    metadata = {"name": "checkout"}
    match kind:
        case "Pod":
            return {"apiVersion": "v1", "kind": kind, **template, "metadata": metadata | template["metadata"]}
        case "Job":
            return {"apiVersion": "batch/v1", "kind": kind, "metadata": metadata, "spec": {"template": template}}
        case "CronJob":
            job = {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": template}}}
            return {"apiVersion": "batch/v1", "kind": kind, "metadata": metadata, "spec": job}
        case _:
            spec: Object = {"selector": {"matchLabels": {"app": "checkout"}}, "template": template}
            if kind == "StatefulSet":
                spec["serviceName"] = "checkout"
            return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


KINDS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod")


def template_of(document: Object) -> Object:
    """The pod of an object."""
    match document["kind"]:
        case "Pod":
            return document
        case "CronJob":
            found: Object = document["spec"]["jobTemplate"]["spec"]["template"]
            return found
        case _:
            return document["spec"]["template"]


def block(document: Object) -> str:
    return str(yaml.safe_dump(document, sort_keys=False))


def flow(document: Object) -> str:
    return str(yaml.safe_dump(document, sort_keys=False, default_flow_style=True))


def pretty(document: Object) -> str:
    return json.dumps(document, indent=2)


def compact(document: Object) -> str:
    return json.dumps(document, separators=(",", ":"))


STYLES = (block, flow, pretty, compact)

COMMENTED = """\
# The shop's checkout.
apiVersion: v1
kind: Service
metadata: {name: checkout}
spec: {ports: [{port: 80}]}   # as it was
---
apiVersion: apps/v1
kind: Deployment   # of checkout
metadata:
  name: checkout
spec:
  selector: {matchLabels: {app: checkout}}
  template:
    metadata:
      labels: {app: checkout}
      annotations:
        sidecar.io/env: PAYMENTS_URL=payments LEDGER_URL=ledger   # governed
        sidecar.io/http-proxy: enabled
    spec:
      initContainers:
      # waits for the database
      - name: wait
        image: busybox
      containers:
      - name: app
        image: checkout:1   # pinned
        args:
        - |
          one
          two

        env:
        - {name: PAYMENTS_URL, value: 'http://payments:8080/v1'}
        - name: LEDGER_URL
          value: >-
            http://ledger.default.svc
        # the end of the variables
      terminationGracePeriodSeconds: 60
# the end of the file
"""
