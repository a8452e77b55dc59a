"""Annotations are read strictly: each rule that is broken is told at its annotation, and all of them at once."""

import pytest

from sidecar.inject.workload import PodProblem, Workload, annotation, workload_of


def read(**annotations: object) -> tuple[Workload, list[PodProblem]]:
    problems: list[PodProblem] = []
    named = {f"sidecar.io/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return workload_of({"other.io/upstreams": "x", **named}, problems), problems


def test_all_that_a_workload_can_say_is_read() -> None:
    workload, problems = read(
        service="till",
        policy="https://policy.internal/p.yaml",
        mode="observe",
        ingress_app="http://127.0.0.1:8080",
        drain_timeout="10s",
        log_level="debug",
        log_format="json",
        upstreams="payments=http://a:1, payments=http://b:1 ledger=https://c",
        env="PAYMENTS_URL=payments",
        http_proxy="enabled",
        transparent="80, 8080",
        no_proxy=".svc",
        image="x:1",
        native="false",
        cpu_request="1",
        memory_limit="1Gi",
    )

    assert problems == []
    assert workload.variables == {
        "SIDECAR_SERVICE": "till",
        "SIDECAR_POLICY": "https://policy.internal/p.yaml",
        "SIDECAR_MODE": "observe",
        "SIDECAR_INGRESS_APP": "http://127.0.0.1:8080",
        "SIDECAR_DRAIN_TIMEOUT": "10s",
        "SIDECAR_LOG_LEVEL": "debug",
        "SIDECAR_LOG_FORMAT": "json",
    }
    assert workload.upstreams == [("payments", "http://a:1"), ("payments", "http://b:1"), ("ledger", "https://c")]
    assert workload.env == {"PAYMENTS_URL": "payments"}
    assert (workload.http_proxy, workload.no_proxy, workload.image, workload.native) == (True, ".svc", "x:1", False)
    assert workload.transparent == (80, 8080)
    assert workload.resources == {("requests", "cpu"): "1", ("limits", "memory"): "1Gi"}


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("upstream", "a=http://a", "is not known; did you mean upstreams?"),
        ("env", "PAYMENTS_URL", "must be VARIABLE=destination, several with blanks between them"),
        ("env", "", "must be VARIABLE=destination"),
        ("env", "A=x A=y", "must not name a variable twice"),
        ("env", "A=Payments", "must name destinations by"),
        ("env", "A=unlisted", "must name destinations by"),
        ("upstreams", "payments", "must be name=url"),
        ("upstreams", "payments=ftp://x", "must be a URL"),
        ("upstreams", " ".join(f"d{number}=http://x" for number in range(101)), "must be at most 100 of name=url"),
        ("upstreams", "ingress=http://x", "must name destinations by"),
        ("http-proxy", "true", "must be enabled or disabled"),
        ("transparent", "80,http", "must be ports with commas between them, like 80,8080"),
        ("transparent", "0", "must be ports"),
        ("transparent", "65536", "must be ports"),
        ("native", "enabled", "must be true or false"),
        ("mode", "off", "must be enforce or observe"),
        ("drain-timeout", "10", "must be a duration with its unit"),
        ("drain-timeout", "2h", "must be at most 1h"),
        ("policy", "http://a/b", "must be a URL like https://host/path"),
        ("ingress-app", "8080", "must be a URL"),
        ("log-level", "loud", "must be debug or info or warning or error"),
        ("log-format", "xml", "must be console or json"),
        ("image", " ", "must not be empty"),
        ("memory-limit", "lots", "must be a quantity"),
        ("native", True, "must be text: quote it"),
        ("inject", "yes", "must be enabled or disabled"),
    ],
)
def test_what_is_wrong_is_told_at_its_annotation(name: str, value: object, rule: str) -> None:
    _, problems = read(**{name: value})

    assert [problem.path for problem in problems] == [annotation(name)]
    assert problems[0].rule.startswith(rule)


def test_several_rules_are_told_at_once() -> None:
    _, problems = read(mode="off", native="x", frob="1")

    assert len(problems) == 3
