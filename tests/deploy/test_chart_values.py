"""The values of the chart: wrong ones are refused with a message, and every one is described."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from tests.deploy.test_chart import PEM, STORE, keeping_keys
from tests.fakes.helm import CHART, ROOT, RefusedByHelm, render

REFUSED: list[tuple[dict[str, Any], str]] = [
    # The schema's.
    ({"webhok": {}}, "additional properties 'webhok' not allowed"),
    ({"webhook": {"replica": 3}}, "at '/webhook': additional properties 'replica' not allowed"),
    ({"webhook": {"replicas": 0}}, "at '/webhook/replicas': minimum: got 0, want 1"),
    ({"webhook": {"replicas": "two"}}, "at '/webhook/replicas': got string, want integer"),
    ({"webhook": {"failurePolicy": "ignore"}}, "at '/webhook/failurePolicy': value must be one of 'Ignore', 'Fail'"),
    ({"webhook": {"timeoutSeconds": 60}}, "at '/webhook/timeoutSeconds': maximum: got 60, want 30"),
    ({"webhook": {"port": 443}}, "at '/webhook/port': minimum: got 443, want 1,024"),
    ({"webhook": {"antiAffinity": "hard"}}, "at '/webhook/antiAffinity': value must be one of"),
    ({"webhook": {"podDisruptionBudget": {"minAvailable": "half"}}}, "at '/webhook/podDisruptionBudget/minAvailable'"),
    ({"webhook": {"certificate": {"source": "vault"}}}, "at '/webhook/certificate/source': value must be one of"),
    ({"webhook": {"certificate": {"source": "secret", "caBundle": "MIIB"}}}, "at '/webhook/certificate/caBundle'"),
    ({"webhook": {"excludedNamespaces": []}}, "at '/webhook/excludedNamespaces': minItems: got 0, want 1"),
    ({"image": {"digest": "sha256:abc"}}, "at '/image/digest': 'sha256:abc' does not match pattern"),
    ({"image": {"pullPolicy": "always"}}, "at '/image/pullPolicy': value must be one of"),
    ({"injection": {"native": "yes"}}, "at '/injection/native': got string, want boolean"),
    ({"injection": {"drain": 25}}, "at '/injection/drain': got number, want string"),
    ({"injection": {"resources": {"request": {}}}}, "at '/injection/resources': additional properties 'request'"),
    ({"policy": {"url": "http://policy.corp"}}, "at '/policy/url': 'http://policy.corp' does not match pattern"),
    ({"policy": {"document": {"version": 1}}}, "at '/policy/document': got object, want string"),
    ({"policy": {"editors": [{"kind": "Team", "name": "x"}]}}, "at '/policy/editors/0/kind': value must be one of"),
    ({"namespaces": {"Shop": {}}}, "'Shop' does not match pattern"),
    ({"namespaces": {"shop": {"sidecar": {"destinations": {}}}}}, "missing property 'service'"),
    ({"monitoring": {"podMonitor": {"interval": "15"}}}, "at '/monitoring/podMonitor/interval'"),
    ({"monitoring": {"rules": {"runbooksUrl": "wiki"}}}, "at '/monitoring/rules/runbooksUrl'"),
    # Combinations.
    (
        {"webhook": {"certificate": {"source": "secret", "caBundle": PEM}}},
        "webhook.certificate.secretName: name the kubernetes.io/tls Secret",
    ),
    (
        {"webhook": {"certificate": {"source": "secret", "secretName": "tls"}}},
        "webhook.certificate.caBundle: give the PEM of the authority",
    ),
    ({"webhook": {"certificate": {"secretName": "tls"}}}, 'webhook.certificate.secretName: "tls" is not used'),
    ({"webhook": {"failurePolicy": "Fail", "replicas": 1}}, "webhook.failurePolicy: Fail with one replica"),
    ({"policy": {"url": "https://p.corp/p.yaml", "signatures": "x"}}, "policy.signatures: belongs to policy.document"),
    ({"policy": {"keys": {"ann": "a2V5"}}}, "policy.signatures: policy.keys are pinned"),
    (
        {"policy": {"keys": {"ann": "a2V5"}, "signatures": "x", "required": 2}},
        "policy.required: 2 signatures can not come from 1 keys",
    ),
    (
        {"policy": {"enabled": False, "editors": [{"kind": "Group", "name": "x"}]}},
        "policy.editors: there is no ConfigMap with a policy to edit",
    ),
    (
        {"namespaces": keeping_keys({"sqlite": "keys.db"}, 3)},
        "namespaces.shop.sidecar.ingress.idempotency.store: sqlite is embedded in one pod, and with replicas: 3",
    ),
    (
        {"namespaces": {"shop": {"sidecar": {"service": "checkout", "policy": {"file": "policy.yaml"}}}}},
        "namespaces.shop.sidecar.policy: the authority of this chart names the policy",
    ),
]


@pytest.mark.parametrize(("values", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_wrong_value_is_refused_with_its_place_and_its_rule(values: dict[str, Any], message: str) -> None:
    with pytest.raises(RefusedByHelm) as refused:
        render(values)

    assert message in str(refused.value)


def test_an_embedded_store_is_right_in_one_pod_and_a_shared_one_in_three() -> None:
    for store, replicas in (({"sqlite": "keys.db"}, 1), (STORE, 3)):
        assert render({"namespaces": keeping_keys(store, replicas)})


def test_the_readme_of_the_chart_is_what_its_values_say() -> None:
    made = subprocess.run([sys.executable, ROOT / "helm/readme.py"], capture_output=True, text=True, check=True).stdout

    assert (CHART / "README.md").read_text(encoding="utf-8") == made, "run `make docs`"


def leaves(tree: dict[str, Any], above: str = "") -> set[str]:
    """The dotted names of all values that are no sections."""
    found: set[str] = set()
    for key, value in tree.items():
        name = f"{above}{key}"
        found |= leaves(value, f"{name}.") if isinstance(value, dict) and value else {name}
    return found


def test_every_value_is_described_in_the_readme_and_known_to_the_schema() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    described = set(re.findall(r"^\| `([^`]+)` \|", (CHART / "README.md").read_text(encoding="utf-8"), re.MULTILINE))

    for name in leaves(values):
        assert any(name == known or name.startswith(f"{known}.") for known in described), f"{name} is not described"
        at = schema
        for key in name.split("."):
            if "properties" not in at:
                assert at.get("additionalProperties"), name
                break
            at = at["properties"][key]


def test_no_section_of_the_schema_takes_a_key_it_does_not_know() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

    def open_sections(node: dict[str, Any], at: str) -> list[str]:
        found = [at] if "properties" in node and node.get("additionalProperties") is not False else []
        return found + [
            name for key, below in node.get("properties", {}).items() for name in open_sections(below, f"{at}/{key}")
        ]

    assert open_sections(schema, "") == []
