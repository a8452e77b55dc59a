"""What `sidecar inject` writes runs: the container by its own args and variables, and the application through it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sidecar.inject.manifest import inject_manifest
from sidecar.inject.settings import InjectionSettings
from tests.inject.manifests import block, pod, template_of, workload

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("native", [True, False])
def test_an_injected_pod_starts_and_its_application_is_retried_for(tmp_path: Path, native: bool) -> None:
    template = pod()
    template["spec"]["containers"][0]["env"][0]["value"] = "http://127.0.0.1:8080/v1"
    text = inject_manifest(
        block(workload("Deployment", template)).encode(), "m.yaml", InjectionSettings(native=native)
    ).text
    file = tmp_path / "pod.json"
    file.write_text(json.dumps(template_of(yaml.safe_load(text))["spec"]))
    command = ["unshare", "--net", sys.executable, "-m", "tests.acceptance.injected_pod", str(file)]

    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == {
        "post_start": 0,
        "startup": 200,
        "live": 200,
        "called": [200, "/v1/charges", "2"],
        "by_host": [200, "/v1/charges", "1"],
        "unknown_host": 502,
        "service": True,
        "exit": 0,
    }
