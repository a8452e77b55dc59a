"""deploy/compose.yaml: judged by docker-compose itself, and its programs run together without an engine."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.sandbox import in_sandbox
from tests.fakes.tools import tool

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose"
HOSTS = "127.0.0.1 localhost payments app\n"


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    """The file as docker-compose understands it, once it has judged it."""
    command = [tool("docker-compose"), "--file", DEPLOY / "compose.yaml", "config"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    document: dict[str, Any] = yaml.safe_load(ran.stdout)
    return document


def mounts(service: dict[str, Any]) -> dict[str, Path]:
    """Where the service sees which file or folder."""
    return {parts[1]: Path(parts[0]) for parts in (volume.split(":") for volume in service.get("volumes", []))}


def test_docker_compose_takes_it_and_every_file_it_mounts_is_there(composed: dict[str, Any]) -> None:
    services = composed["services"]

    assert set(services) == {"app", "payments", "sidecar", "prometheus", "grafana"}
    assert [str(path) for service in services.values() for path in mounts(service).values() if not path.exists()] == []
    assert Path(services["sidecar"]["build"]["context"]) == ROOT


def test_the_sidecar_shares_the_network_of_its_service_and_nothing_is_open_to_others(composed: dict[str, Any]) -> None:
    services = composed["services"]

    assert services["sidecar"]["network_mode"] == "service:app"
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert len(published) == 2
    assert all(str(port).startswith("127.0.0.1:") for port in published)
    ours = [service for service in services.values() if service["image"] == "retry-sidecar"]
    assert len(ours) == 3
    assert all(service["read_only"] and service["cap_drop"] == ["ALL"] for service in ours)


def test_prometheus_takes_its_configuration_with_the_rules_of_deploy(composed: dict[str, Any], tmp_path: Path) -> None:
    seen = mounts(composed["services"]["prometheus"])
    assert seen["/etc/prometheus/rules.yaml"] == DEPLOY / "prometheus/rules.yaml"

    text = seen["/etc/prometheus/prometheus.yml"].read_text(encoding="utf-8")
    for place, original in seen.items():
        text = text.replace(place, str(original))
    (tmp_path / "prometheus.yml").write_text(text, encoding="utf-8")

    ran = subprocess.run(
        [tool("promtool"), "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"SUCCESS: \d+ rules found", ran.stdout)


def test_grafana_finds_the_dashboard_of_deploy_where_it_is_told_to_look(composed: dict[str, Any]) -> None:
    seen = mounts(composed["services"]["grafana"])
    provisioning = [path for place, path in seen.items() if place.startswith("/etc/grafana/provisioning/")]
    sources, providers = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in provisioning)

    folder = providers["providers"][0]["options"]["path"]

    assert sources["datasources"][0]["url"] == "http://prometheus:9090"
    (dashboard,) = [path for place, path in seen.items() if place.startswith(f"{folder}/")]
    assert dashboard == DEPLOY / "grafana/dashboard.json"


def test_the_service_the_sidecar_and_the_flaky_dependency_work_together(
    composed: dict[str, Any], tmp_path: Path
) -> None:
    url = composed["services"]["app"]["environment"]["PAYMENTS_URL"]
    (tmp_path / "hosts").write_text(HOSTS, encoding="utf-8")
    scrape = (
        "import urllib.request as u; print(u.urlopen('http://127.0.0.1:16002/metrics', timeout=10).read().decode())"
    )
    python = sys.executable
    script = f"""
        {python} {COMPOSE}/flaky.py & {python} -m sidecar run --config {COMPOSE}/sidecar.yaml 2>/tmp/log &
        until {python} -m sidecar health >/dev/null 2>&1; do sleep 0.1; done
        PAYMENTS_URL={url} SECONDS=4 {python} {COMPOSE}/app.py && {python} -c "{scrape}"
    """

    ran = in_sandbox(["sh", "-ec", script], "--ro-bind", tmp_path / "hosts", "/etc/hosts", "--chdir", ROOT)

    assert ran.returncode == 0, ran.stderr
    counted, _, metrics = ran.stdout.partition("\n")
    answers: dict[str, int] = json.loads(counted.replace("'", '"'))
    assert set(answers) <= {"200", "503"}
    values = dict(re.findall(r"^(\S+) (\S+)$", metrics, re.MULTILINE))
    requests = [float(value) for name, value in values.items() if name.startswith("sidecar_requests_total{")]
    retries = [float(value) for name, value in values.items() if name.startswith("sidecar_retries_total{")]
    assert sum(requests) >= sum(answers.values())
    assert sum(retries) >= 1
