"""From the commands of the README to a governed pod: the chart's webhook is run, and asked as the API server would."""

import base64
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import jsonpatch
import pytest
import yaml

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.inject.settings import read_settings
from tests.deploy.plain_manifests import injected, injection_settings
from tests.deploy.test_chart import VARIANTS, the
from tests.deploy.test_install_page import PAGES, commands, patched
from tests.deploy.test_kustomize import EXAMPLE, built
from tests.fakes.helm import CHART, Document, render
from tests.fakes.kubernetes import assert_valid, unrestricted
from tests.fakes.sandbox import in_sandbox

REVIEWER = Path(__file__).parent / "webhook_review.py"
BIN = Path(sys.executable).parent


def injected_container(pod: Document) -> dict[str, Any]:
    (found,) = [item for item in pod["spec"].get("initContainers", []) if item["name"] == "retry-sidecar"]
    return dict(found)


def variables(container: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "the least"])
def test_the_settings_of_every_variant_are_ones_that_the_webhook_takes(variant: str, tmp_path: Path) -> None:
    file = tmp_path / "injection.yaml"
    file.write_text(injection_settings(VARIANTS[variant]), encoding="utf-8")

    try:
        read_settings(file)
    except InvalidDocument as error:
        pytest.fail(str(error))


def admitted(objects: list[Document], pod: Document, folder: Path) -> Document:
    """The pod after the chart's own webhook, started by its own command, at its own port, on a read-only root."""
    deployment = the(objects, "Deployment")["spec"]["template"]["spec"]
    container = deployment["containers"][0]
    client = the(objects, "MutatingWebhookConfiguration")["webhooks"][0]["clientConfig"]
    for name, data in {
        "tls": {key: base64.b64decode(value).decode() for key, value in the(objects, "Secret")["data"].items()},
        "injection": next(item["data"] for item in objects if "injection.yaml" in item.get("data", {})),
    }.items():
        (folder / name).mkdir()
        for file, content in data.items():
            (folder / name / file).write_text(content, encoding="utf-8")
    mounts = [("--ro-bind", str(folder / mount["name"]), mount["mountPath"]) for mount in container["volumeMounts"]]
    (folder / "asked.json").write_text(
        json.dumps(
            {
                "authority": base64.b64decode(client["caBundle"]).decode(),
                "review": {
                    "apiVersion": "admission.k8s.io/v1",
                    "kind": "AdmissionReview",
                    "request": {
                        "uid": "1",
                        "kind": {"group": "", "version": "v1", "kind": "Pod"},
                        "operation": "CREATE",
                        "namespace": "shop",
                        "object": pod,
                    },
                },
            }
        )
    )
    command = json.dumps([str(BIN / "sidecar"), *container["args"]])
    service = client["service"]
    words = [sys.executable, REVIEWER, command, container["ports"][0]["containerPort"]]
    reviewer = shlex.join(map(str, [*words, f"{service['name']}.{service['namespace']}.svc"]))

    ran = in_sandbox(
        ["sh", "-c", f"exec {reviewer} < {folder}/asked.json"],
        *("--tmpfs", "/etc", "--ro-bind", folder, folder),
        *(word for mount in mounts for word in mount),
        tmp=False,
    )

    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert (seen["status"], seen["exit_code"]) == (200, 0), ran.stderr
    response = seen["answer"]["response"]
    assert response["allowed"], response
    document: Document = jsonpatch.apply_patch(pod, json.loads(base64.b64decode(response["patch"])))
    return document


def test_the_webhook_of_the_chart_governs_the_workload_that_the_readme_patches(tmp_path: Path) -> None:
    (patch, _) = [command[command.index("--patch") + 1] for command in commands("README.md", "kubectl")]
    template = patched(patch, tmp_path)["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "checkout-", **template["metadata"]}}
    app = {"name": "app", "image": "checkout:1"}
    app["env"] = [{"name": "PAYMENTS_URL", "value": "http://payments.shop.svc:8080"}]  # type: ignore[assignment]

    governed = admitted(render(), {**pod, "spec": {"containers": [app]}}, tmp_path)

    named = {**governed, "metadata": {**governed["metadata"], "name": "checkout-1"}}
    assert_valid([named])
    container = injected_container(governed)
    assert unrestricted({"containers": [container]}) == []
    assert variables(governed["spec"]["containers"][0])["PAYMENTS_URL"] == "http://127.0.0.1:16101"
    assert variables(container)["SIDECAR_UPSTREAMS"] == "payments=http://payments.shop.svc:8080"
    volumes = json.dumps(governed["spec"]["volumes"])
    assert "retry-sidecar-policy" in volumes


@pytest.mark.parametrize("page", PAGES)
def test_the_workload_that_opted_out_is_the_one_from_before(page: str, tmp_path: Path) -> None:
    _, out = [command[command.index("--patch") + 1] for command in commands(page, "kubectl") if "patch" in command]
    manifest = yaml.safe_dump(patched(out, tmp_path))

    assert yaml.safe_load(injected(manifest, injection_settings())) == yaml.safe_load(manifest)


def test_the_pod_of_helm_test_proves_a_retry_of_the_sidecar_that_is_injected_into_it() -> None:
    objects = render()
    pod = yaml.safe_load(injected(yaml.safe_dump(the(objects, "Pod")), injection_settings()))
    assert_valid([pod])
    sidecar = injected_container(pod)
    (test,) = pod["spec"]["containers"]
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    given = shlex.join(f"{name}={value}" for name, value in variables(sidecar).items())
    marked = shlex.join(f"{name}={value}" for name, value in variables(test).items())
    script = f"env {given} sidecar run & exec env {marked} python {CHART}/files/prove_retry.py"

    ran = in_sandbox(["sh", "-c", script], environment=environment)

    assert sidecar["args"] == ["run"]
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("one retry: ")


def test_the_container_of_the_kustomize_component_is_the_one_that_inject_gives() -> None:
    (workload,) = [item for item in built(EXAMPLE) if item["kind"] == "Deployment"]
    bare = yaml.safe_load((EXAMPLE / "checkout.yaml").read_text(encoding="utf-8"))
    made = yaml.safe_load(injected(yaml.safe_dump(bare), injection_settings()))["spec"]["template"]

    ours, theirs = injected_container(workload["spec"]["template"]), injected_container(made)

    by_annotation = {"SIDECAR_SERVICE", "SIDECAR_UPSTREAMS", "SIDECAR_LISTEN"}
    assert {name: value for name, value in variables(theirs).items() if name not in by_annotation} == variables(ours)
    assert {entry["name"] for entry in ours["env"]} == {entry["name"] for entry in theirs["env"]}
    for container in (ours, theirs):
        del container["env"]
    assert ours == theirs
    volumes = [
        {volume["name"]: volume for volume in pod["spec"]["volumes"]} for pod in (workload["spec"]["template"], made)
    ]
    assert volumes[0] == volumes[1]
