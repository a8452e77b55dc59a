"""The kustomize component, built by the real kubectl."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

import sidecar
from sidecar.cli import main as cli
from tests.fakes.helm import ROOT, Document, program
from tests.fakes.kubernetes import assert_valid, unrestricted

COMPONENT = ROOT / "deploy/kustomize/component"
EXAMPLE = ROOT / "deploy/kustomize/example"


def built(folder: Path) -> list[Document]:
    command = [program("kubectl"), "kustomize", "--load-restrictor", "LoadRestrictionsNone", folder]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return [document for document in yaml.load_all(ran.stdout, yaml.CSafeLoader) if document]


def kustomization(folder: Path, workload: Document) -> Path:
    """A kustomization of one workload, under the component."""
    (folder / "workload.yaml").write_text(yaml.safe_dump(workload), encoding="utf-8")
    (folder / "component").symlink_to(COMPONENT)
    text = "resources: [workload.yaml]\ncomponents: [component]\n"
    (folder / "kustomization.yaml").write_text(text, encoding="utf-8")
    return folder


def workload(kind: str, labels: dict[str, str]) -> Document:
    containers = [{"name": "app", "image": "app:1"}]
    template: dict[str, Any] = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": containers}}
    spec: dict[str, Any] = {"template": template, "selector": {"matchLabels": {"app": "x"}}}
    if kind == "StatefulSet":
        spec["serviceName"] = "x"
    if kind == "Job":
        del spec["selector"]
        template["spec"]["restartPolicy"] = "Never"
    version = "batch/v1" if kind == "Job" else "apps/v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "x", "labels": labels}, "spec": spec}


def test_the_example_is_valid_and_its_sidecar_is_the_first_and_restricted() -> None:
    objects = built(EXAMPLE)

    assert_valid(objects)
    (pod,) = [item["spec"]["template"]["spec"] for item in objects if item["kind"] == "Deployment"]
    assert [container["name"] for container in pod["initContainers"]] == ["retry-sidecar", "migrate"]
    first = pod["initContainers"][0]
    assert first["restartPolicy"] == "Always"
    assert unrestricted({"containers": [first]}) == []


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "Job"])
def test_a_labelled_workload_of_every_kind_gets_the_sidecar(kind: str, tmp_path: Path) -> None:
    objects = built(kustomization(tmp_path, workload(kind, {"sidecar.io/inject": "enabled"})))

    (found,) = [item for item in objects if item["kind"] == kind]
    assert [item["name"] for item in found["spec"]["template"]["spec"]["initContainers"]] == ["retry-sidecar"]


def test_a_workload_without_the_label_is_as_it_was(tmp_path: Path) -> None:
    original = workload("Deployment", {"tier": "front"})

    objects = built(kustomization(tmp_path, original))

    assert original in objects


def test_the_image_is_the_one_of_this_version() -> None:
    component = yaml.safe_load((COMPONENT / "kustomization.yaml").read_text(encoding="utf-8"))

    assert component["images"] == [{"name": "retry-sidecar", "newTag": sidecar.__version__}]


def test_a_change_of_the_policy_changes_no_name_and_so_restarts_no_pod() -> None:
    policies = [item for item in built(EXAMPLE) if item["kind"] == "ConfigMap"]

    assert [item["metadata"]["name"] for item in policies] == ["retry-sidecar-policy"]


def test_a_sidecar_takes_the_policy_of_the_component() -> None:
    ran = CliRunner().invoke(
        cli, ["policy", "check", str(COMPONENT / "authority.yaml"), str(COMPONENT / "policy.yaml")]
    )

    assert ran.exit_code == 0, ran.output
