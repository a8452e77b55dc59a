"""The command `webhook`: how long pods wait for the admission webhook.

The real command in a process of its own, over TLS on kept connections, as an API server keeps them. Reviews are due at
fixed times (an open loop) and are timed from when they were due, so that a webhook that stalls is not asked less often.
"""

import asyncio
import base64
import json
import ssl
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import click
import trustme
import uvloop

from loadtest.child import Child, NotStartedError
from loadtest.options import CannotRunError

HOST: Final = "localhost"
START_WITHIN: Final = 20.0
SIDECAR: Final = (sys.executable, "-m", "sidecar")


@dataclass(frozen=True, slots=True)
class AdmissionLatency:
    """Milliseconds from when a review was due to the end of its answer."""

    reviews: int
    rate: float
    connections: int
    wrong: int
    p50_ms: float
    p99_ms: float
    max_ms: float


@click.command(context_settings={"show_default": True})
@click.option("--rate", type=click.IntRange(1, 5000), default=100, help="Pods a second.")
@click.option("--seconds", type=click.FloatRange(0.1, 120), default=10.0)
@click.option("--connections", type=click.IntRange(1, 64), default=4, help="Kept by the API servers.")
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
def webhook(*, rate: int, seconds: float, connections: int, as_json: bool) -> None:
    """How long pods wait for the admission webhook: p50 and p99, over TLS."""
    try:
        latency = uvloop.run(measured(rate, seconds, connections))
    except NotStartedError as error:
        raise CannotRunError(str(error)) from error
    if as_json:
        click.echo(json.dumps(asdict(latency), indent=2))
    else:
        click.echo(
            f"{latency.reviews:,} pods at {latency.rate:g}/s over {latency.connections} connections: "
            f"p50 {latency.p50_ms:.2f} ms, p99 {latency.p99_ms:.2f} ms, worst {latency.max_ms:.2f} ms, "
            f"{latency.wrong} wrong answers"
        )


async def measured(rate: float, seconds: float, connections: int) -> AdmissionLatency:
    """Start a webhook, ask it for so long, end it. Raises NotStartedError."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        authority = trustme.CA()
        leaf = authority.issue_cert(HOST)
        leaf.cert_chain_pems[0].write_to_path(folder / "tls.crt")
        leaf.private_key_pem.write_to_path(folder / "tls.key")
        child = stack.enter_context(Child("webhook", command(folder), core=None, log=folder / "log"))
        line = await asyncio.to_thread(child.first_line, START_WITHIN)
        port = int(json.loads(line)["listen"].rpartition(":")[2])
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return await _asked(port, context, rate, seconds, connections)


def command(folder: Path) -> list[str]:
    """The webhook's command line, with the certificate in a folder."""
    files = ["--tls-cert", str(folder / "tls.crt"), "--tls-key", str(folder / "tls.key")]
    return [*SIDECAR, "webhook", "--listen", "127.0.0.1:0", "--grace", "0s", "--log-format", "json", *files]


async def _asked(port: int, context: ssl.SSLContext, rate: float, seconds: float, connections: int) -> AdmissionLatency:
    request = _request()
    latencies: list[float] = []
    wrong = 0
    began = perf_counter() + 0.1
    due = iter([began + number / rate for number in range(max(1, round(rate * seconds)))])

    async def caller() -> None:
        nonlocal wrong
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=HOST)
        for at in due:
            await asyncio.sleep(max(0.0, at - perf_counter()))
            writer.write(request)
            body = await _answer(reader)
            latencies.append(perf_counter() - at)
            wrong += not right(body)
        writer.close()

    await asyncio.gather(*(caller() for _ in range(connections)))
    ordered = sorted(latencies)
    p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99))
    return AdmissionLatency(
        len(ordered), rate, connections, wrong, round(p50 * 1e3, 3), round(p99 * 1e3, 3), round(ordered[-1] * 1e3, 3)
    )


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return await reader.readexactly(int(length.partition(b":")[2]))


def right(body: bytes) -> bool:
    """Whether an answer lets the pod in and patches a sidecar into it."""
    try:
        response = json.loads(body)["response"]
        patch = json.loads(base64.b64decode(response["patch"]))
    except (ValueError, KeyError, TypeError):
        return False
    return bool(response["allowed"]) and any("retry-sidecar" in json.dumps(each) for each in patch)


def _request() -> bytes:
    body = json.dumps(review(), separators=(",", ":")).encode()
    lines = ["POST /mutate HTTP/1.1", f"Host: {HOST}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def review() -> Mapping[str, Any]:
    """An AdmissionReview as an API server sends it: three containers, defaults filled in, managed fields and all."""
    container: dict[str, Any] = {
        "image": "registry.example.com/shop/checkout:1.2.3",
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
        "env": [{"name": f"SETTING_{number}", "value": "x" * 40} for number in range(20)],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/app", "readOnly": True}],
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    }
    payments = {"name": "PAYMENTS_URL", "value": "http://payments.shop.svc:8080/v1"}
    containers = [{"name": f"app-{number}", **container} for number in range(3)]
    containers[0]["env"] = [*container["env"], payments]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "checkout-7d9f8c6b5-",
            "namespace": "shop",
            "labels": {"app": "checkout", "pod-template-hash": "7d9f8c6b5"},
            "annotations": {"sidecar.io/env": "PAYMENTS_URL=payments", "sidecar.io/http-proxy": "enabled"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "checkout-7d9f8c6b5", "uid": "1"}
            ],
            "managedFields": [{"manager": "kube-controller-manager", "fieldsV1": {f"f:{n}": {} for n in range(60)}}],
        },
        "spec": {"containers": containers, "volumes": [{"name": "config", "configMap": {"name": "checkout"}}]},
    }
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "operation": "CREATE",
            "namespace": "shop",
            "object": pod,
        },
    }
