import pytest

from sidecar.governance.documents.claims import check_hosts, check_listeners, check_reach, hosts_of, shared_hosts
from sidecar.governance.documents.document import DestinationEntry, read_sidecar
from sidecar.governance.documents.finding import Finding
from sidecar.governance.documents.yaml import parse
from sidecar.net import Endpoint, HostPort
from tests.fakes.documents import SIDECAR


def claims(text: str) -> list[str]:
    findings: list[Finding] = []
    tree = parse(text.encode(), "f.yaml")
    sidecar = read_sidecar(tree, findings)
    assert sidecar is not None
    check_listeners(sidecar, tree, findings)
    check_hosts(sidecar, tree, findings)
    check_reach(sidecar, tree, findings)
    return [str(finding) for finding in findings]


def test_a_destination_has_its_name_and_its_endpoints_hosts() -> None:
    entry = DestinationEntry(endpoints=[Endpoint("http", "payments.svc", 80), Endpoint("http", "::1", 81)])

    assert hosts_of({"payments": entry})["payments"].keys() == {
        "payments",
        "payments.svc",
        "payments.svc:80",
        "[::1]",
        "[::1]:81",
    }


def test_a_destination_that_names_its_hosts_has_no_others() -> None:
    entry = DestinationEntry(endpoints=[Endpoint("http", "payments.svc", 80)], hosts=[HostPort("pay", 81)])

    assert hosts_of({"payments": entry})["payments"].keys() == {"pay:81"}


def test_endpoints_on_one_host_are_told_apart_by_their_ports() -> None:
    entries = {
        "payments": DestinationEntry(endpoints=[Endpoint("http", "127.0.0.1", 9001)]),
        "ledger": DestinationEntry(endpoints=[Endpoint("http", "127.0.0.1", 9002)]),
    }

    assert {name: set(hosts) for name, hosts in hosts_of(entries).items()} == {
        "payments": {"payments", "127.0.0.1:9001"},
        "ledger": {"ledger", "127.0.0.1:9002"},
    }
    assert shared_hosts(entries) == ["127.0.0.1"]


def test_a_name_or_a_host_that_is_named_comes_before_the_host_of_an_endpoint() -> None:
    entries = {
        "gateway": DestinationEntry(endpoints=[Endpoint("http", "other", 1)]),
        "ledger": DestinationEntry(endpoints=[Endpoint("http", "gateway", 2)]),
    }

    hosts = hosts_of(entries)

    assert "gateway" in hosts["gateway"]
    assert hosts["ledger"].keys() == {"ledger", "gateway:2"}
    assert shared_hosts(entries) == []


def test_destinations_apart_claim_nothing_twice() -> None:
    assert claims(SIDECAR + '    listen: "127.0.0.1:16101"\n  ledger:\n    endpoints: ["http://ledger:1"]\n') == []


def test_a_host_that_is_named_twice_is_found_with_both_lines() -> None:
    ledger = '  ledger:\n    endpoints: ["http://ledger:1"]\n    hosts:\n      - ledger\n      - Payments\n'

    findings = claims(SIDECAR + ledger)

    rule = "must not claim a host that destinations.payments.endpoints at line 5 has"
    assert findings == [f'f.yaml:10: destinations.ledger.hosts: {rule}, got "payments"']


def test_one_endpoint_of_two_destinations_calls_for_hosts_by_name() -> None:
    ledger = '  ledger:\n    endpoints:\n      - "http://ledger:1"\n      - "http://payments:8080"\n'

    findings = claims(SIDECAR + ledger)

    rule = "must not claim a host that destinations.payments.endpoints at line 5 has; name its `hosts`"
    assert findings == [f'f.yaml:9: destinations.ledger.endpoints: {rule}, got "payments:8080"']


def test_endpoints_on_one_host_with_ports_of_their_own_are_fine() -> None:
    ledger = '  ledger:\n    endpoints:\n      - "http://ledger:1"\n      - "http://payments:9"\n'

    assert claims(SIDECAR + ledger) == []


@pytest.mark.parametrize("endpoint", ["169.254.169.254", "[fe80::1]:8080", "[::ffff:a9fe:a9fe]", "[fd00:ec2::254]"])
def test_an_endpoint_that_is_refused_by_default_is_found(endpoint: str) -> None:
    [finding] = claims(SIDECAR.replace("payments:8080", endpoint))

    rule = "must not be link-local, for credentials are served there, unless egress.allow names it"
    assert finding.startswith(f"f.yaml:5: destinations.payments.endpoints: {rule}, got ")


def test_an_endpoint_that_is_allowed_is_not() -> None:
    allow = 'egress: {allow: ["169.254.0.0/16"]}\n'

    assert claims(allow + SIDECAR.replace("payments:8080", "169.254.169.254")) == []


@pytest.mark.parametrize("written", ["10.0.0.0/8", "127.0.0.1", "127.0.0.1:16001", "2001:db8::1"])
def test_what_is_allowed_in_vain_is_found(written: str) -> None:
    [finding] = claims(f'egress:\n  allow: ["{written}"]\n' + SIDECAR)

    assert finding.startswith("f.yaml:2: egress.allow: must be something that is refused by default: 169.254.0.0/16, ")
    assert finding.endswith(f'or a port of admin; all else may be called, got "{written}"')


@pytest.mark.parametrize(
    "written", ["169.254.169.254:80", "fe80::/64", "0.0.0.0/0", "127.0.0.1:16000", "127.0.0.0/8:16000"]
)
def test_what_is_refused_may_be_allowed(written: str) -> None:
    assert claims(f'egress: {{allow: ["{written}"]}}\n' + SIDECAR) == []


@pytest.mark.parametrize(
    ("before", "after", "finding"),
    [
        (
            "",
            '    listen: "127.0.0.1:16001"\n',
            "6: destinations.payments.listen: must not listen where egress.listen, by default, does (127.0.0.1:16001)",
        ),
        (
            'admin: {listen: "0.0.0.0:16101"}\n',
            '    listen: "127.0.0.1:16101"\n',
            "7: destinations.payments.listen: must not listen where admin.listen at line 1 does (0.0.0.0:16101)",
        ),
        (
            'admin: {metrics_listen: "127.0.0.1:16001"}\n',
            "",
            "1: admin.metrics_listen: must not listen where egress.listen, by default, does (127.0.0.1:16001)",
        ),
        (
            "",
            'egress:\n  listen:\n    - "127.0.0.1:1"\n    - "0.0.0.0:1"\n',
            "9: egress.listen: must not listen where egress.listen at line 8 does (127.0.0.1:1)",
        ),
        (
            "",
            'ingress: {app: "http://127.0.0.1:8080", listen: "0.0.0.0:16000"}\n',
            "6: ingress.listen: must not listen where admin.listen, by default, does (127.0.0.1:16000)",
        ),
    ],
)
def test_a_socket_that_is_listened_on_twice_is_found(before: str, after: str, finding: str) -> None:
    [found] = claims(before + SIDECAR + after)

    assert found.startswith(f"f.yaml:{finding}")


def test_port_0_is_another_free_port_each_time() -> None:
    assert claims(SIDECAR + '    listen: "127.0.0.1:0"\nadmin: {listen: "127.0.0.1:0"}\n') == []


def test_an_endpoint_that_is_the_sidecar_itself_is_found() -> None:
    findings = claims(SIDECAR.replace("payments:8080", "127.0.0.1:16001"))

    rule = "must not be the sidecar itself, which listens there (egress.listen)"
    assert findings == [f'f.yaml:5: destinations.payments.endpoints: {rule}, got "http://127.0.0.1:16001"']


def test_a_transparent_listener_is_a_listener_as_any_other() -> None:
    text = SIDECAR + 'egress: {transparent: {listen: ["127.0.0.1:16001"]}}\n'

    (finding,) = claims(text)

    assert finding.startswith("f.yaml:6: egress.transparent.listen: must not listen where egress.listen")
