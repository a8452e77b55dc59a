"""The requests and limits that docs/performance.md derives from its measurement are those that are shipped."""

import re

import yaml

from sidecar.inject.settings import ContainerResources
from tests.fakes.helm import ROOT


def suggested() -> dict[str, tuple[str, str, str]]:
    """The table: CPU request, memory request and memory limit by container."""
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    section = text.split("## Requests and limits", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (sidecar|webhook) \| `(\w+)` \| `(\w+)` \| `(\w+)` \|", section, re.MULTILINE)
    return {name: (cpu, memory, most) for name, cpu, memory, most in rows}


def shipped(resources: dict[str, dict[str, str]]) -> tuple[str, str, str]:
    assert "cpu" not in resources["limits"]  # a sidecar that is held back makes every request late
    return resources["requests"]["cpu"], resources["requests"]["memory"], resources["limits"]["memory"]


def test_the_chart_asks_for_what_was_measured() -> None:
    values = yaml.safe_load((ROOT / "helm" / "retry-sidecar" / "values.yaml").read_text(encoding="utf-8"))

    asked = {
        "sidecar": shipped(values["injection"]["resources"]),
        "webhook": shipped(values["webhook"]["resources"]),
    }

    assert asked == suggested()


def test_an_injected_container_asks_for_what_was_measured() -> None:
    usual = ContainerResources()

    asked = shipped({"requests": dict(usual.requests), "limits": dict(usual.limits)})  # type: ignore[arg-type]

    assert asked == suggested()["sidecar"]


def test_the_kustomize_component_asks_for_what_was_measured() -> None:
    text = (ROOT / "deploy" / "kustomize" / "component" / "sidecar.yaml").read_text(encoding="utf-8")
    [requests] = re.findall(r"requests: (\{.*\})", text)
    [limits] = re.findall(r"limits: (\{.*\})", text)

    asked = shipped({"requests": yaml.safe_load(requests), "limits": yaml.safe_load(limits)})

    assert asked == suggested()["sidecar"]
