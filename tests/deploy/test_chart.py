"""The chart, rendered and linted by the real helm: what is in it, and that Kubernetes would take it."""

import base64
import ssl
import subprocess
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

import sidecar
from sidecar.cli import main as cli
from sidecar.inject.settings import read_settings
from tests.fakes.helm import CHART, ROOT, Document, helm, render
from tests.fakes.kubernetes import assert_valid, pods_of, unrestricted
from tests.fakes.tools import tool

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = "Lh01gUbAXCj5bJqw5IsSMNC0qaBgtlympkrpmH/oAs4="
"""A public key, as `sidecar policy keygen` prints it."""
MONITORED = {name: {"enabled": True} for name in ("podMonitor", "rules", "dashboard")}
SERVICE = 'service: checkout\ndestinations: {payments: {endpoints: ["http://payments.shop.svc:8080"]}}\n'
STORE = {"redis": "redis://keys.shop.svc:6379/0"}
ROUTES = [{"name": "pay", "match": {"methods": ["POST"], "path": "/v1/payments"}, "class": "at_most_once"}]


def keeping_keys(store: Mapping[str, object], replicas: int) -> dict[str, Any]:
    """A namespace whose service keeps idempotency keys."""
    ingress = {
        "listen": "0.0.0.0:16006",
        "app": "http://127.0.0.1:8080",
        "idempotency": {"store": dict(store), "replicas": replicas},
        "routes": ROUTES,
    }
    destinations = {"payments": {"endpoints": ["http://payments.shop.svc:8080"]}}
    return {"shop": {"sidecar": {"service": "checkout", "destinations": destinations, "ingress": ingress}}}


VARIANTS: dict[str, dict[str, Any]] = {
    "the default": {},
    "the least": {
        "webhook": {"enabled": False},
        "policy": {"enabled": False},
        "test": {"enabled": False},
    },
    "one webhook": {"webhook": {"replicas": 1, "antiAffinity": "none"}},
    "a webhook that has to answer": {
        "webhook": {
            "replicas": 3,
            "failurePolicy": "Fail",
            "antiAffinity": "required",
            "podDisruptionBudget": {"minAvailable": "50%"},
            "priorityClassName": "system-cluster-critical",
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
            "podAnnotations": {"team": "platform"},
            "podLabels": {"tier": "control"},
        },
        "imagePullSecrets": [{"name": "registry"}],
        "commonLabels": {"team": "platform"},
    },
    "monitored": {"monitoring": MONITORED},
    "monitored, with labels": {
        "monitoring": {
            "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "interval": "30s"},
            "rules": {
                "enabled": True,
                "labels": {"release": "prometheus"},
                "runbooksUrl": "https://wiki.corp/runbooks/",
                "grafanaUrl": "https://grafana.corp",
            },
            "dashboard": {"enabled": True, "annotations": {"grafana_folder": "Platform"}},
        }
    },
    "a network policy": {"webhook": {"networkPolicy": {"enabled": True}}},
    "a network policy for some": {
        "webhook": {"networkPolicy": {"enabled": True, "from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}}
    },
    "an own authority": {
        "webhook": {"certificate": {"source": "secret", "secretName": "webhook-tls", "caBundle": PEM}}
    },
    "cert-manager": {"webhook": {"certificate": {"source": "cert-manager"}}},
    "cert-manager with an issuer": {
        "webhook": {"certificate": {"source": "cert-manager", "issuerRef": {"kind": "ClusterIssuer", "name": "corp"}}}
    },
    "plain containers": {"injection": {"native": False}},
    "an image by digest": {"image": {"repository": "registry.corp/retry-sidecar", "digest": "sha256:" + "a" * 64}},
    "a policy at an address": {
        "policy": {"url": "https://policy.corp/fleet.yaml", "caBundle": PEM, "keys": {"ann": KEY}, "required": 1}
    },
    "a signed policy": {
        "policy": {"keys": {"ann": KEY}, "signatures": '{"keyid":"ann","sig":"c2ln"}\n'},
    },
    "a policy for some namespaces": {"namespaces": {"shop": None, "stock": {"policy": True}, "old": {"policy": False}}},
    "editors of the policy": {
        "policy": {"editors": [{"kind": "Group", "name": "platform", "apiGroup": "rbac.authorization.k8s.io"}]},
        "namespaces": {"shop": {"policy": True}},
    },
    "a shared store": {"namespaces": keeping_keys(STORE, 3)},
    "an embedded store in one pod": {"namespaces": keeping_keys({"sqlite": "keys.db"}, 1)},
    "a part of another chart": {"global": {"region": "eu"}, "fullnameOverride": "governed-retries"},
}


def of_kind(objects: list[Document], kind: str) -> list[Document]:
    return [document for document in objects if document["kind"] == kind]


def the(objects: list[Document], kind: str, name: str = "") -> Document:
    (found,) = [document for document in of_kind(objects, kind) if name in document["metadata"]["name"]]
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_object_of_every_variant_is_valid_for_the_oldest_and_the_newest_kubernetes(variant: str) -> None:
    objects = render(VARIANTS[variant])

    assert_valid(objects)
    names = [
        (item["apiVersion"], item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"])
        for item in objects
    ]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_pod_of_every_variant_is_restricted_and_knows_no_token(variant: str) -> None:
    pods = list(pods_of(render(VARIANTS[variant])))

    assert [unrestricted(pod) for pod in pods] == [[] for _ in pods]
    assert all(pod["automountServiceAccountToken"] is False for pod in pods)


@pytest.mark.parametrize("variant", ["the default", "the least", "monitored", "a shared store"])
def test_helm_lint_finds_nothing(variant: str) -> None:
    told = helm("lint", "--strict", str(CHART), values=VARIANTS[variant])

    assert "[WARNING]" not in told
    assert "0 chart(s) failed" in told


def test_the_chart_has_the_version_of_the_sidecar() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))

    assert (chart["version"], chart["appVersion"]) == (sidecar.__version__, sidecar.__version__)


def test_a_package_of_the_chart_contains_the_rules_and_the_dashboard_of_deploy(tmp_path: Path) -> None:
    helm("package", str(CHART), "--destination", str(tmp_path))
    (archive,) = tmp_path.glob("*.tgz")

    with tarfile.open(archive) as package:
        package.extractall(tmp_path, filter="data")

    for packed, source in (("rules.yaml", "prometheus/rules.yaml"), ("dashboard.json", "grafana/dashboard.json")):
        assert (tmp_path / "retry-sidecar/files" / packed).read_bytes() == (ROOT / "deploy" / source).read_bytes()
    rendered = helm("template", "x", str(archive), values={"monitoring": MONITORED})
    assert [doc["kind"] for doc in yaml.safe_load_all(rendered) if doc].count("PrometheusRule") == 1


def test_the_chart_has_no_rules_and_no_dashboard_of_its_own() -> None:
    for file in ("rules.yaml", "dashboard.json"):
        assert (CHART / "files" / file).is_symlink()
        assert (ROOT / "deploy") in (CHART / "files" / file).resolve().parents


def test_the_alerts_are_those_of_deploy_and_lead_to_the_runbooks_of_the_values(tmp_path: Path) -> None:
    source = yaml.safe_load((ROOT / "deploy/prometheus/rules.yaml").read_text(encoding="utf-8"))

    rule = the(render(VARIANTS["monitored, with labels"]), "PrometheusRule")

    assert [group["name"] for group in rule["spec"]["groups"]] == [group["name"] for group in source["groups"]]
    expressions = [[item["expr"] for item in group["rules"]] for group in source["groups"]]
    assert [[item["expr"] for item in group["rules"]] for group in rule["spec"]["groups"]] == expressions
    text = yaml.safe_dump(rule["spec"])
    assert "example.com" not in text
    assert "https://wiki.corp/runbooks/SidecarAmplification.md" in text
    (tmp_path / "rules.yaml").write_text(text, encoding="utf-8")
    subprocess.run([tool("promtool"), "check", "rules", tmp_path / "rules.yaml"], check=True, capture_output=True)


def test_the_dashboard_is_the_one_of_deploy_byte_for_byte() -> None:
    dashboard = the(render(VARIANTS["monitored"]), "ConfigMap", "dashboard")

    assert dashboard["data"]["retry-sidecar.json"] == (ROOT / "deploy/grafana/dashboard.json").read_text(
        encoding="utf-8"
    )
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_more_than_one_webhook_is_kept_apart_and_survives_the_drain_of_a_node() -> None:
    objects = render(VARIANTS["a webhook that has to answer"])

    spec = the(objects, "Deployment")["spec"]

    pod = spec["template"]["spec"]
    assert spec["replicas"] == 3
    assert pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert pod["topologySpreadConstraints"][0]["topologyKey"] == "topology.kubernetes.io/zone"
    assert the(objects, "PodDisruptionBudget")["spec"]["minAvailable"] == "50%"
    labels = spec["template"]["metadata"]["labels"]
    selectors = [
        spec["selector"]["matchLabels"],
        the(objects, "Service")["spec"]["selector"],
        the(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)


def test_one_webhook_has_no_budget_that_would_hold_up_the_drain_of_its_node() -> None:
    objects = render(VARIANTS["one webhook"])

    assert of_kind(objects, "PodDisruptionBudget") == []


def test_the_pods_of_the_webhook_do_not_wait_for_the_webhook() -> None:
    objects = render(VARIANTS["a webhook that has to answer"])

    assert the(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]["sidecar.io/inject"] == "disabled"


def admitted_by(webhook: Mapping[str, Any], namespace: Mapping[str, str], pod: Mapping[str, str]) -> bool:
    """Whether the API server would ask this webhook about the pod."""

    def holds(labels: Mapping[str, str], rule: Mapping[str, Any]) -> bool:
        inside = labels.get(rule["key"]) in rule["values"]
        return inside if rule["operator"] == "In" else not inside

    return all(
        holds(labels, rule)
        for labels, selector in ((namespace, "namespaceSelector"), (pod, "objectSelector"))
        for rule in webhook[selector]["matchExpressions"]
    )


@pytest.mark.parametrize(
    ("namespace", "pod", "asked"),
    [
        ({}, {}, 0),
        ({"sidecar.io/inject": "enabled"}, {}, 1),
        ({"sidecar.io/inject": "enabled"}, {"sidecar.io/inject": "enabled"}, 1),
        ({"sidecar.io/inject": "enabled"}, {"sidecar.io/inject": "disabled"}, 0),
        ({}, {"sidecar.io/inject": "enabled"}, 1),
        ({"sidecar.io/inject": "disabled"}, {"sidecar.io/inject": "enabled"}, 1),
        ({"kubernetes.io/metadata.name": "kube-system"}, {"sidecar.io/inject": "enabled"}, 0),
    ],
)
def test_the_api_server_asks_once_about_pods_that_opted_in(
    namespace: dict[str, str], pod: dict[str, str], asked: int
) -> None:
    webhooks = the(render(), "MutatingWebhookConfiguration")["webhooks"]

    assert sum(admitted_by(webhook, namespace, pod) for webhook in webhooks) == asked


def test_the_webhook_is_reached_at_the_port_and_name_its_certificate_is_for(tmp_path: Path) -> None:
    objects = render()
    (dumped,) = {
        yaml.safe_dump(webhook["clientConfig"]) for webhook in the(objects, "MutatingWebhookConfiguration")["webhooks"]
    }
    address = yaml.safe_load(dumped)
    secret = the(objects, "Secret")["data"]
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).write_bytes(base64.b64decode(secret[name]))

    client = handshaken(tmp_path, base64.b64decode(address["caBundle"]).decode(), address["service"])

    service = the(objects, "Service")
    assert (service["metadata"]["name"], service["metadata"]["namespace"]) == (
        address["service"]["name"],
        address["service"]["namespace"],
    )
    assert service["spec"]["ports"][0]["port"] == address["service"]["port"]
    container = the(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert container["ports"][0]["containerPort"] == service["spec"]["ports"][0]["targetPort"]
    assert client.cipher() is not None


def handshaken(folder: Path, authority: str, service: Mapping[str, str]) -> ssl.SSLObject:
    """The API server's side after a handshake in memory, for which it asks for SERVICE.NAMESPACE.svc."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(there, back, server_side=True)
    name = f"{service['name']}.{service['namespace']}.svc"
    client = ssl.create_default_context(cadata=authority).wrap_bio(back, there, server_hostname=name)
    for side in (client, server) * 2:
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return client


def test_cert_manager_gives_the_webhook_its_certificate_and_the_api_server_the_authority() -> None:
    objects = render(VARIANTS["cert-manager"])

    certificate = the(objects, "Certificate")

    volumes = {volume["name"]: volume for volume in the(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]}
    configuration = the(objects, "MutatingWebhookConfiguration")
    namespace, name = certificate["metadata"]["namespace"], certificate["metadata"]["name"]
    assert volumes["tls"]["secret"]["secretName"] == certificate["spec"]["secretName"]
    assert configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"] == f"{namespace}/{name}"
    assert all("caBundle" not in webhook["clientConfig"] for webhook in configuration["webhooks"])
    assert of_kind(objects, "Secret") == []
    assert certificate["spec"]["issuerRef"]["name"] == the(objects, "Issuer")["metadata"]["name"]


def test_an_own_authority_is_the_one_the_api_server_trusts() -> None:
    objects = render(VARIANTS["an own authority"])

    webhooks = the(objects, "MutatingWebhookConfiguration")["webhooks"]

    assert {base64.b64decode(webhook["clientConfig"]["caBundle"]).decode() for webhook in webhooks} == {PEM}
    assert of_kind(objects, "Secret") == []
    volumes = the(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert volumes[0]["secret"]["secretName"] == "webhook-tls"


def test_the_policy_and_the_authority_are_in_every_governed_namespace_and_a_sidecar_takes_them(tmp_path: Path) -> None:
    objects = render(VARIANTS["a policy for some namespaces"])

    policies = [
        document for document in of_kind(objects, "ConfigMap") if document["metadata"]["name"] == "retry-sidecar-policy"
    ]

    assert {item["metadata"]["namespace"] for item in policies} == {"shop", "stock", "sidecar-system"}
    assert len({yaml.safe_dump(item["data"]) for item in policies}) == 1
    assert checked(tmp_path, policies[0], SERVICE) == ""


def checked(folder: Path, policy: Document, sidecar_file: str) -> str:
    """`sidecar policy check` of a service's file under the mounted ConfigMap; what it says, where it finds fault."""
    for name, content in policy["data"].items():
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "sidecar.yaml").write_text(sidecar_file, encoding="utf-8")
    ran = CliRunner().invoke(cli, ["policy", "check", str(folder)])
    return "" if ran.exit_code == 0 else ran.output


def test_a_change_of_the_policy_restarts_no_pod() -> None:
    before, after = (render({"policy": {"document": f"version: {version}\nowner: platform\n"}}) for version in (1, 2))

    assert the(before, "Deployment") == the(after, "Deployment")
    assert of_kind(before, "ConfigMap") != of_kind(after, "ConfigMap")


def test_those_who_may_change_the_policy_may_change_nothing_else() -> None:
    objects = render(VARIANTS["editors of the policy"])

    roles = of_kind(objects, "Role")

    assert {role["metadata"]["namespace"] for role in roles} == {"shop", "sidecar-system"}
    rules = [rule for role in roles for rule in role["rules"]]
    assert all(
        (rule["resources"], rule["resourceNames"]) == (["configmaps"], ["retry-sidecar-policy"]) for rule in rules
    )
    bindings = of_kind(objects, "RoleBinding")
    assert {subject["name"] for binding in bindings for subject in binding["subjects"]} == {"platform"}
    assert of_kind(objects, "ClusterRole") == []


def test_nothing_goes_out_of_a_webhook_with_a_network_policy() -> None:
    spec = the(render(VARIANTS["a network policy for some"]), "NetworkPolicy")["spec"]

    assert spec["egress"] == []
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    assert spec["ingress"] == [
        {"ports": [{"port": 16443, "protocol": "TCP"}], "from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}
    ]


@pytest.mark.parametrize("variant", ["a shared store", "an embedded store in one pod"])
def test_the_file_of_a_namespace_is_one_that_a_sidecar_takes_under_the_policy(variant: str, tmp_path: Path) -> None:
    configured = [
        item for item in of_kind(render(VARIANTS[variant]), "ConfigMap") if item["metadata"]["namespace"] == "shop"
    ]
    by_name = {item["metadata"]["name"]: item for item in configured}

    told = checked(tmp_path, by_name["retry-sidecar-policy"], by_name["retry-sidecar"]["data"]["sidecar.yaml"])

    assert told == ""


@pytest.mark.parametrize("variant", ["the default", "a webhook that has to answer"])
def test_the_settings_of_the_webhook_are_read_by_it_and_bind_pods_to_the_policy(variant: str, tmp_path: Path) -> None:
    objects = render(VARIANTS[variant])
    config_map = next(each for each in of_kind(objects, "ConfigMap") if "injection.yaml" in each["data"])
    file = tmp_path / "injection.yaml"
    file.write_text(config_map["data"]["injection.yaml"])

    settings = read_settings(file)

    webhook = the(objects, "MutatingWebhookConfiguration")["webhooks"][0]
    assert settings.failure == webhook["failurePolicy"].lower()
    assert settings.authority in {each["metadata"]["name"] for each in of_kind(objects, "ConfigMap")}
    assert settings.image == the(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"]


def test_the_webhook_is_started_by_flags_that_it_has() -> None:
    container = the(render({}), "Deployment")["spec"]["template"]["spec"]["containers"][0]

    name, *arguments = container["args"]

    assert name == "webhook"
    assert "can not be read" in CliRunner().invoke(cli, [name, *arguments]).stderr


@pytest.mark.parametrize("variant", ["the default", "a policy at an address", "a signed policy"])
def test_the_authority_is_one_that_a_sidecar_takes(variant: str, tmp_path: Path) -> None:
    policy = the(render(VARIANTS[variant]), "ConfigMap", "retry-sidecar-policy")
    (tmp_path / "authority.yaml").write_text(policy["data"]["authority.yaml"], encoding="utf-8")

    ran = CliRunner().invoke(cli, ["policy", "check", str(tmp_path / "authority.yaml")])

    assert ran.exit_code == 0, ran.output
