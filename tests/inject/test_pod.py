"""One pod: what its container is told, and what is asked of the application's own variables."""

from typing import Any

import pytest

from sidecar.inject.pod import Injection, inject, injected, opted_out, uninject
from sidecar.inject.settings import DEFAULTS, InjectionSettings, PolicyReference
from sidecar.net import PolicyUrl
from tests.inject.manifests import Object, pod


def annotated(**annotations: str) -> Object:
    made = pod()
    made["metadata"]["annotations"] = {
        f"sidecar.io/{name.replace('_', '-')}": text for name, text in annotations.items()
    }
    return made


def served(made: Object, chosen: InjectionSettings = DEFAULTS, name: str = "checkout") -> Object:
    found = inject(made, chosen, name=name)
    assert found.problems == []
    document: Object = injected(made, found)
    return document


def sidecar_of(made: Object) -> Object:
    document: Object = made["spec"]["initContainers"][0]
    return document


def variables(container: Object) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}


def problems(made: Object, chosen: InjectionSettings = DEFAULTS) -> list[tuple[tuple[Any, ...], str]]:
    found = inject(made, chosen, name="checkout")
    return [(problem.path, problem.rule) for problem in found.problems]


def test_the_container_is_told_by_variables_what_the_annotations_say() -> None:
    made = served(annotated(env="PAYMENTS_URL=payments", upstreams="ledger=http://ledger:80", drain_timeout="10s"))

    told = variables(sidecar_of(made))
    assert told["SIDECAR_SERVICE"] == "checkout"
    assert told["SIDECAR_UPSTREAMS"] == "ledger=http://ledger:80 payments=http://payments.default.svc:8080"
    assert told["SIDECAR_LISTEN"] == "127.0.0.1:16001 [::1]:16001 ledger=127.0.0.1:16101 payments=127.0.0.1:16102"
    assert told["SIDECAR_DRAIN_TIMEOUT"] == "10s"
    assert told["SIDECAR_METRICS_LISTEN"] == "[::]:16002"
    assert told["SIDECAR_CONFIG_OPTIONAL"] == "true"


def test_listeners_are_where_the_annotation_says_as_in_the_kustomize_component() -> None:
    given = "127.0.0.1:17001 payments=127.0.0.1:16101"
    made = annotated(
        upstreams="ledger=http://ledger:80", env="PAYMENTS_URL=payments", listen=given, http_proxy="enabled"
    )

    result = served(made)

    app = variables(result["spec"]["containers"][0])
    listen = "127.0.0.1:17001 ledger=127.0.0.1:16102 payments=127.0.0.1:16101"
    assert variables(sidecar_of(result))["SIDECAR_LISTEN"] == listen
    assert (app["PAYMENTS_URL"], app["HTTP_PROXY"]) == ("http://127.0.0.1:16101/v1", "http://127.0.0.1:17001")
    assert variables(sidecar_of(served(annotated(listen="127.0.0.1:17001"))))["SIDECAR_LISTEN"] == "127.0.0.1:17001"


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("payments", "must be an IP address and a port"),
        ("0.0.0.0:16001", "must be addresses of loopback"),
        ("payments=[::1]:16101", "must give a destination a port of 127.0.0.1"),
        ("payments=127.0.0.1:1 payments=127.0.0.1:2", "must not name a destination twice"),
        ("payments=127.0.0.1:1 ledger=127.0.0.1:1", "must not give two destinations one port"),
        ("elsewhere=127.0.0.1:16101", "names a destination that neither upstreams nor env name"),
    ],
)
def test_listeners_that_callers_would_not_find_are_refused(given: str, rule: str) -> None:
    (found,) = problems(annotated(upstreams="payments=http://payments:80", listen=given))

    assert found[0] == ("metadata", "annotations", "sidecar.io/listen")
    assert found[1].startswith(rule)


@pytest.mark.parametrize("native", [True, False])
def test_init_containers_find_a_native_sidecar_and_are_led_to_it(native: bool) -> None:
    made = annotated(env="PAYMENTS_URL=payments", http_proxy="enabled")
    url = {"name": "PAYMENTS_URL", "value": "http://payments.default.svc:8080/setup"}
    made["spec"]["initContainers"] = [{"name": "migrate", "image": "x", "env": [url]}]

    result = served(made, InjectionSettings(native=native))

    migrate = variables(result["spec"]["initContainers"][-1])
    assert migrate["PAYMENTS_URL"] == ("http://127.0.0.1:16101/setup" if native else url["value"])
    assert ("HTTP_PROXY" in migrate) is native
    assert injected(result, uninject(result)) == made


def test_a_variable_of_the_application_leads_to_the_destinations_own_port_and_keeps_its_path() -> None:
    made = served(annotated(env="PAYMENTS_URL=payments"))

    assert variables(made["spec"]["containers"][0]) == {"PAYMENTS_URL": "http://127.0.0.1:16101/v1", "OTHER": "x"}


@pytest.mark.parametrize(
    ("url", "upstream", "rest"),
    [
        ("http://payments", "http://payments:80", ""),
        ("https://payments/", "https://payments:443", "/"),
        ("http://10.0.0.1:81/a/b?c=d", "http://10.0.0.1:81", "/a/b?c=d"),
        ("http://[fd00::1]:8080/x", "http://[fd00::1]:8080", "/x"),
    ],
)
def test_the_upstream_is_where_the_variable_led(url: str, upstream: str, rest: str) -> None:
    made = annotated(env="PAYMENTS_URL=payments")
    made["spec"]["containers"][0]["env"][0]["value"] = url

    result = served(made)

    assert variables(sidecar_of(result))["SIDECAR_UPSTREAMS"] == f"payments={upstream}"
    assert variables(result["spec"]["containers"][0])["PAYMENTS_URL"] == f"http://127.0.0.1:16101{rest}"


def test_the_annotations_upstreams_count_more_than_where_the_variable_led() -> None:
    made = served(annotated(env="PAYMENTS_URL=payments", upstreams="payments=http://canary:1"))

    assert variables(sidecar_of(made))["SIDECAR_UPSTREAMS"] == "payments=http://canary:1"


def test_every_container_that_has_the_variable_is_led_to_the_sidecar() -> None:
    made = annotated(env="PAYMENTS_URL=payments")
    made["spec"]["containers"].append({**made["spec"]["containers"][0], "name": "worker"})

    result = served(made)

    assert [variables(each)["PAYMENTS_URL"] for each in result["spec"]["containers"]] == [
        "http://127.0.0.1:16101/v1"
    ] * 2


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ({"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}, "must have a value of its own to be rewritten"),
        (
            {"value": "payments:8080"},
            "must be a URL like http://host:port/path, without user or fragment, to be rewritten",
        ),
        ({"value": "http://ann:pw@payments"}, "must be a URL like http://host:port/path, without user or fragment"),
        ({"value": "http://$(HOST)/x"}, "must name a host"),
        ({"value": 5}, "must have a value of its own"),
    ],
)
def test_a_variable_that_can_not_be_rewritten_is_told(entry: Object, rule: str) -> None:
    made = annotated(env="PAYMENTS_URL=payments")
    made["spec"]["containers"][0]["env"] = [{"name": "PAYMENTS_URL", **entry}]

    (problem,) = problems(made)

    assert problem[0][:5] == ("spec", "containers", "app", "env", "PAYMENTS_URL")
    assert problem[1].startswith(rule) or "host" in problem[1]


def test_variables_of_one_destination_that_lead_elsewhere_are_told() -> None:
    made = annotated(env="PAYMENTS_URL=payments OTHER=payments")
    made["spec"]["containers"][0]["env"][1]["value"] = "http://elsewhere"

    (problem,) = problems(made)

    assert problem == (
        ("spec", "containers", "app", "env", "OTHER", "value"),
        "leads elsewhere than other variables of payments, to http://payments.default.svc:8080",
    )


def test_a_proxy_is_for_every_container_and_leaves_what_the_application_says_of_it() -> None:
    made = annotated(http_proxy="enabled", no_proxy=".svc")
    made["spec"]["containers"].append({"name": "worker", "env": [{"name": "NO_PROXY", "value": "mine"}]})

    result = served(made)

    app, worker = (variables(each) for each in result["spec"]["containers"])
    assert app["HTTP_PROXY"] == app["http_proxy"] == "http://127.0.0.1:16001"
    assert app["no_proxy"] == "127.0.0.1,localhost,::1,.svc"
    assert worker["NO_PROXY"] == "mine"
    made["spec"]["containers"][0]["env"].append({"name": "HTTP_PROXY", "value": "http://corp:3128"})
    assert problems(made)[0][1].startswith("is there already")


@pytest.mark.parametrize(
    ("chosen", "policy", "sources"),
    [
        (DEFAULTS, None, None),
        (
            InjectionSettings(authority="fleet"),
            None,
            [{"configMap": {"name": "fleet", "optional": True}}],
        ),
        (
            InjectionSettings(authority="fleet", authority_required=True),
            None,
            [{"configMap": {"name": "fleet", "optional": False}}],
        ),
        (
            InjectionSettings(policy=PolicyReference(config_map="p", key="k.yaml")),
            "/etc/sidecar/k.yaml",
            [{"configMap": {"name": "p", "optional": True}}],
        ),
        (InjectionSettings(policy=PolicyReference(url=PolicyUrl("https://p/p.yaml"))), "https://p/p.yaml", None),
    ],
)
def test_the_policy_is_where_the_platform_says(
    chosen: InjectionSettings, policy: str | None, sources: list[Object] | None
) -> None:
    made = served(annotated(), chosen)

    volumes = {volume["name"]: volume for volume in made["spec"]["volumes"]}
    assert variables(sidecar_of(made)).get("SIDECAR_POLICY") == policy
    assert volumes.get("retry-sidecar-platform", {}).get("projected", {}).get("sources") == sources
    assert volumes["retry-sidecar-config"]["configMap"] == {"name": "retry-sidecar", "optional": True}


def test_under_an_authority_a_workload_names_no_policy() -> None:
    made = annotated(policy="mine.yaml")

    (problem,) = problems(made, InjectionSettings(authority="fleet"))

    assert problem[0] == ("metadata", "annotations", "sidecar.io/policy")
    assert "is not for the workload to say" in problem[1]


@pytest.mark.parametrize(
    ("labels", "name", "service"),
    [
        ({"app.kubernetes.io/name": "a", "app": "b"}, "c", "a"),
        ({"app": "b"}, "c", "b"),
        ({}, "c", "c"),
        (None, "", "service"),
    ],
)
def test_the_service_is_called_by_its_label_or_by_its_workload(labels: Object | None, name: str, service: str) -> None:
    made = annotated()
    made["metadata"]["labels"] = labels

    assert variables(sidecar_of(served(made, name=name)))["SIDECAR_SERVICE"] == service
    made["metadata"]["annotations"]["sidecar.io/service"] = "till"
    assert variables(sidecar_of(served(made, name=name)))["SIDECAR_SERVICE"] == "till"


def test_the_service_accounts_token_is_kept_out_of_the_container() -> None:
    mounts = {mount["mountPath"]: mount for mount in sidecar_of(served(annotated()))["volumeMounts"]}

    assert mounts["/var/run/secrets/kubernetes.io/serviceaccount"]["name"] == "retry-sidecar-tmp"


def test_ingress_is_listened_for_and_makes_the_container_count_for_readiness() -> None:
    container = sidecar_of(served(annotated(ingress_app="http://127.0.0.1:8080")))

    assert [port["containerPort"] for port in container["ports"]] == [16002, 16006]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert "readinessProbe" not in sidecar_of(served(annotated()))


INTERCEPTING = InjectionSettings(intercept_image="intercept:1")


def test_calls_are_brought_to_the_sidecar_by_an_init_container_behind_it() -> None:
    made = annotated(transparent="80,8080", upstreams="payments=http://payments:80")
    made["spec"]["initContainers"] = [{"name": "migrate", "image": "x"}]

    result = served(made, INTERCEPTING)

    sidecar, intercept, migrate = result["spec"]["initContainers"]
    names = [sidecar["name"], intercept["name"], migrate["name"]]
    assert names == ["retry-sidecar", "retry-sidecar-intercept", "migrate"]
    assert intercept["args"] == ["intercept", "--ports", "80,8080", "--uid", "65532", "--to", "16007"]
    assert intercept["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    assert variables(sidecar)["SIDECAR_TRANSPARENT_LISTEN"] == "127.0.0.1:16007 [::1]:16007"
    assert sidecar["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert injected(result, uninject(result)) == made


def test_a_plain_sidecar_is_not_there_for_init_containers_and_their_calls_are_not_brought_to_it() -> None:
    made = annotated(transparent="80")
    made["spec"]["initContainers"] = [{"name": "migrate", "image": "x"}]

    result = served(made, InjectionSettings(intercept_image="intercept:1", native=False))

    assert [each["name"] for each in result["spec"]["initContainers"]] == ["migrate", "retry-sidecar-intercept"]


@pytest.mark.parametrize(
    ("settings", "image"),
    [(DEFAULTS, "mine:2"), (InjectionSettings(image="theirs:1"), "mine:2"), (INTERCEPTING, "intercept:1")],
)
def test_the_rules_are_written_by_the_sidecars_own_image_unless_the_platform_names_another(
    settings: InjectionSettings, image: str
) -> None:
    sidecar, intercept = served(annotated(transparent="80", image="mine:2"), settings)["spec"]["initContainers"]

    assert (sidecar["image"], intercept["image"]) == ("mine:2", image)


def test_interception_needs_an_application_of_another_user() -> None:
    made = annotated(transparent="80")
    made["spec"]["securityContext"] = {"runAsUser": 65532}

    (user,) = problems(made, INTERCEPTING)

    assert user[1].startswith("is the sidecar's own user")


def test_a_pod_that_ends_before_its_sidecar_has_drained_is_a_warning() -> None:
    made = annotated()
    made["spec"]["terminationGracePeriodSeconds"] = 20

    found = inject(made, DEFAULTS, name="checkout")

    assert found.warnings == [
        "terminationGracePeriodSeconds is 20, and draining may take 25 s: what is in flight then is cut off"
    ]
    assert inject(annotated(), InjectionSettings(native=False), name="x").warnings == []


def test_a_pod_may_opt_out_by_its_label() -> None:
    made = annotated()
    made["metadata"]["labels"]["sidecar.io/inject"] = "disabled"

    found = inject(made, DEFAULTS, name="checkout")

    assert opted_out(made)
    assert found == Injection(skipped="its label sidecar.io/inject is disabled")


def test_taking_out_what_is_not_there_changes_nothing() -> None:
    assert uninject(annotated()) == Injection()


@pytest.mark.parametrize("shape", [None, [], "x", {}, {"spec": None}, {"spec": []}, {"spec": {"containers": [None]}}])
def test_what_is_no_pod_is_a_problem_and_no_error(shape: Any) -> None:
    assert inject(shape, DEFAULTS, name="x").problems
    assert uninject(shape).operations == []
