"""What flags and variables give becomes the entry that it stands for, and is judged under its own name."""

import pytest

from sidecar.governance.documents.finding import Finding
from sidecar.governance.documents.given import INGRESS_LISTEN, NO_FILE, SERVICE, Given, overlaid
from sidecar.governance.documents.yaml import Path, Tree, parse

FILE = b"""\
service: checkout
admin: {listen: "127.0.0.1:16000"}
policy: {file: policy.yaml, cache: /var/cache}
destinations:
  payments:
    endpoints: ["http://payments:8080"]
    overrides: {timeout: 3s}
"""


def laid(*given: Given, file: bytes | None = FILE) -> Tree:
    findings: list[Finding] = []
    tree = overlaid(None if file is None else parse(file, "sidecar.yaml"), given, findings)
    assert findings == []
    return tree


def variable(setting: str, *words: str) -> Given:
    return Given(f"SIDECAR_{setting.upper()}", setting, words)


@pytest.mark.parametrize(
    ("given", "path", "value"),
    [
        (variable("service", "cart"), ("service",), "cart"),
        (variable("mode", "observe"), ("mode",), "observe"),
        (variable("admin", "127.0.0.1:1"), ("admin", "listen"), "127.0.0.1:1"),
        (variable("metrics_listen", "0.0.0.0:2"), ("admin", "metrics_listen"), "0.0.0.0:2"),
        (variable("listen", "127.0.0.1:3", "[::1]:3"), ("egress", "listen"), ["127.0.0.1:3", "[::1]:3"]),
        (variable("listen", "payments=127.0.0.1:4"), ("destinations", "payments", "listen"), "127.0.0.1:4"),
        (
            variable("upstreams", "a=http://a", "a=http://b"),
            ("destinations", "a", "endpoints"),
            ["http://a", "http://b"],
        ),
        (variable("transparent_listen", "127.0.0.1:6"), ("egress", "transparent", "listen"), ["127.0.0.1:6"]),
        (variable("policy", "https://p/p.yaml"), ("policy", "url"), "https://p/p.yaml"),
        (variable("policy", "/etc/p.yaml"), ("policy", "file"), "/etc/p.yaml"),
        (variable("policy_ca", "/etc/ca.pem"), ("policy", "ca"), "/etc/ca.pem"),
        (variable("ingress_app", "http://127.0.0.1:8080"), ("ingress", "app"), "http://127.0.0.1:8080"),
        (variable("ingress_listen", "0.0.0.0:5"), ("ingress", "listen"), "0.0.0.0:5"),
        (variable("drain_timeout", "5s"), ("drain",), "5s"),
    ],
)
@pytest.mark.parametrize("file", [FILE, None])
def test_what_is_given_stands_in_the_document_under_its_own_name(
    given: Given, path: Path, value: object, file: bytes | None
) -> None:
    tree = laid(given, file=file)

    assert tree.at(path) == value
    assert tree.given_by(path) == given.by
    assert tree.place(path) == (given.by, None)


def test_destinations_are_merged_by_name_and_keep_what_the_file_says_of_them() -> None:
    tree = laid(variable("upstreams", "payments=http://canary:8080", "ledger=http://ledger"))

    assert tree.at(("destinations", "payments")) == {
        "endpoints": ["http://canary:8080"],
        "overrides": {"timeout": "3s"},
    }
    assert tree.at(("destinations", "ledger")) == {"endpoints": ["http://ledger"]}
    assert tree.place(("destinations", "payments", "overrides", "timeout")) == ("sidecar.yaml", 7)


def test_another_source_of_the_policy_takes_the_place_of_the_files_and_leaves_the_rest() -> None:
    tree = laid(variable("policy", "https://p/p.yaml"))

    assert tree.at(("policy",)) == {"url": "https://p/p.yaml", "cache": "/var/cache"}
    assert ("policy", "file") not in tree.lines


def test_a_path_is_from_the_working_directory_although_the_file_is_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.chdir(str(tmp_path))

    assert laid(variable("policy", "mine.yaml")).at(("policy", "file")) == f"{tmp_path}/mine.yaml"
    assert laid(variable("policy", "mine.yaml"), file=None).at(("policy", "file")) == "mine.yaml"


def test_ingress_listens_at_its_usual_port_when_only_the_app_is_given() -> None:
    tree = laid(variable("ingress_app", "http://127.0.0.1:8080"))

    assert tree.at(("ingress", "listen")) == INGRESS_LISTEN
    assert tree.given_by(("ingress", "listen")) is None


def test_without_a_file_the_service_has_a_name_and_there_is_no_line() -> None:
    tree = laid(variable("upstreams", "a=http://a"), file=None)

    assert tree.at(("service",)) == SERVICE
    assert tree.place(("service",)) == (NO_FILE, None)


def test_an_upstream_without_a_name_is_told_under_the_variable() -> None:
    findings: list[Finding] = []

    overlaid(None, [variable("upstreams", "http://a")], findings)

    assert [str(finding) for finding in findings] == ['SIDECAR_UPSTREAMS: must be name=url, got "http://a"']


@pytest.mark.parametrize("file", [b"[1, 2]\n", b"destinations: 5\n", b"destinations: {payments: []}\n"])
def test_a_document_of_another_shape_is_left_to_be_judged(file: bytes) -> None:
    tree = laid(variable("listen", "payments=127.0.0.1:4"), variable("upstreams", "payments=http://a"), file=file)

    assert tree.value == parse(file, "sidecar.yaml").value


def test_the_file_is_not_changed_by_what_is_laid_over_it() -> None:
    tree = parse(FILE, "sidecar.yaml")
    lines = dict(tree.lines)

    overlaid(tree, [variable("policy", "https://p/p.yaml")], [])

    assert dict(tree.lines) == lines
    assert tree.given == {}
