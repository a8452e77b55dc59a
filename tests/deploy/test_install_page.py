"""The commands of the README and docs/install.md, run by the real helm and kubectl as far as no cluster is needed."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.helm import ROOT, helm, program

PAGES = ("README.md", "docs/install.md")
VERBS = {
    "helm": {"install", "upgrade", "uninstall", "test", "get", "rollback"},
    "kubectl": {"patch", "label", "apply", "delete", "rollout", "kustomize"},
}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "checkout", "namespace": "shop"},
    "spec": {
        "selector": {"matchLabels": {"app": "checkout"}},
        "template": {
            "metadata": {"labels": {"app": "checkout"}},
            "spec": {"containers": [{"name": "app", "image": "checkout:1"}]},
        },
    },
}


def commands(page: str, program_name: str) -> list[list[str]]:
    """The commands of a page that begin with this word, as a shell would split them."""
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    words = shlex.split(lines.replace("\\\n", " ").replace("\n", "\n;\n"), comments=True)
    found: list[list[str]] = [[]]
    for word in words:
        if word == ";":
            found.append([])
        else:
            found[-1].append(word.replace("\n;\n", "\n"))
    return [command for command in found if command[:1] == [program_name]]


def patched(patch: str, folder: Path) -> dict[str, Any]:
    """The Deployment after `kubectl patch`."""
    file = folder / "deployment.yaml"
    file.write_text(yaml.safe_dump(DEPLOYMENT), encoding="utf-8")
    command = [program("kubectl"), "patch", "--local", "--filename", file, "--patch", patch, "--output", "yaml"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    document: dict[str, Any] = yaml.safe_load(ran.stdout)
    return document


@pytest.mark.parametrize("page", PAGES)
def test_one_patch_opts_a_workload_in_and_one_takes_it_out(page: str, tmp_path: Path) -> None:
    patches = [command[command.index("--patch") + 1] for command in commands(page, "kubectl") if "patch" in command]

    given = [patched(patch, tmp_path)["spec"]["template"]["metadata"] for patch in patches]

    into, out = given
    assert into["labels"] == {"app": "checkout", "sidecar.io/inject": "enabled"}
    assert into["annotations"] == {
        "sidecar.io/service": "checkout",
        "sidecar.io/upstreams": "payments=http://payments.shop.svc:8080",
        "sidecar.io/env": "PAYMENTS_URL=payments",
    }
    assert out["labels"]["sidecar.io/inject"] == "disabled"


@pytest.mark.parametrize("page", PAGES)
def test_helm_takes_the_installation_as_it_is_written(page: str) -> None:
    (install,) = [command for command in commands(page, "helm") if command[1] == "install"]

    told = helm(*install[1:], "--dry-run=client")

    assert "name: retry-sidecar-policy\n  namespace: shop" in told
    assert 'image: "registry.example.com/retry-sidecar:0.1.0"' in told


def test_the_readme_takes_three_commands_in_and_one_out() -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## On Kubernetes")[2].partition("\n## ")[0]

    into, out = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)

    assert len(re.findall(r"^(?:docker|helm|kubectl) ", into, re.MULTILINE)) == 3
    assert len(re.findall(r"^(?:docker|helm|kubectl) ", out, re.MULTILINE)) == 1


def test_the_notes_of_the_chart_say_the_change_of_the_base_url(tmp_path: Path) -> None:
    told = helm("install", "retry-sidecar", str(ROOT / "helm/retry-sidecar"), "--dry-run=client", "--namespace", "x")
    notes = told.partition("NOTES:")[2]

    into, out = re.findall(r"--patch '(.*?)'", notes, re.DOTALL)

    assert (
        patched(into, tmp_path)["spec"]["template"]["metadata"]["annotations"]["sidecar.io/env"]
        == "PAYMENTS_URL=payments"
    )
    assert patched(out, tmp_path)["spec"]["template"]["metadata"]["labels"]["sidecar.io/inject"] == "disabled"
    assert "http://payments.SHOP.svc:8080  ->  http://127.0.0.1:16101" in notes


@pytest.mark.parametrize("page", [*PAGES, "helm/retry-sidecar/README.md"])
@pytest.mark.parametrize("name", ["helm", "kubectl"])
def test_every_option_on_the_page_is_one_of_its_command(page: str, name: str) -> None:
    for command in commands(page, name):
        verb = next(word for word in command[1:] if word in VERBS[name])
        told = subprocess.run([program(name), verb, "--help"], capture_output=True, text=True, check=True).stdout
        told += subprocess.run([program(name), "options"], capture_output=True, text=True, check=False).stdout

        unknown = [word for word in command if word.startswith("--") and word.partition("=")[0] not in told]

        assert unknown == [], f"{name} {verb}"
