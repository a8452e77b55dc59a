import pytest

from sidecar.governance.documents.claims import check_hosts, check_listeners, hosts_of
from sidecar.governance.documents.document import DestinationEntry, read_sidecar
from sidecar.governance.documents.finding import Finding
from sidecar.governance.documents.yaml import parse
from sidecar.net import Endpoint, Host
from tests.fakes.documents import SIDECAR


def claims(text: str) -> list[str]:
    findings: list[Finding] = []
    tree = parse(text.encode(), "f.yaml")
    sidecar = read_sidecar(tree, findings)
    assert sidecar is not None
    check_listeners(sidecar, tree, findings)
    check_hosts(sidecar, tree, findings)
    return [str(finding) for finding in findings]


def test_a_destination_has_its_name_and_its_endpoints_hosts() -> None:
    entry = DestinationEntry(endpoints=[Endpoint("http", "payments.svc", 80), Endpoint("http", "::1", 81)])

    assert hosts_of("payments", entry).keys() == {"payments", "payments.svc", "[::1]"}


def test_a_destination_that_names_its_hosts_has_no_others() -> None:
    entry = DestinationEntry(endpoints=[Endpoint("http", "payments.svc", 80)], hosts=[Host("pay")])

    assert hosts_of("payments", entry).keys() == {"pay"}


def test_destinations_apart_claim_nothing_twice() -> None:
    assert claims(SIDECAR + '    listen: "127.0.0.1:16101"\n  ledger:\n    endpoints: ["http://ledger:1"]\n') == []


def test_a_host_that_is_named_twice_is_found_with_both_lines() -> None:
    ledger = '  ledger:\n    endpoints: ["http://ledger:1"]\n    hosts:\n      - ledger\n      - Payments\n'

    findings = claims(SIDECAR + ledger)

    rule = "must not claim a host that destinations.payments.endpoints at line 5 has"
    assert findings == [f'f.yaml:10: destinations.ledger.hosts: {rule}, got "payments"']


def test_endpoints_on_one_host_call_for_hosts_by_name() -> None:
    ledger = '  ledger:\n    endpoints:\n      - "http://ledger:1"\n      - "http://payments:9"\n'

    findings = claims(SIDECAR + ledger)

    rule = "must not claim a host that destinations.payments.endpoints at line 5 has; name its `hosts`"
    assert findings == [f'f.yaml:9: destinations.ledger.endpoints: {rule}, got "payments"']


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
