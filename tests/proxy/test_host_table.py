"""Hosts that lead somewhere."""

import pytest

from sidecar.proxy.host_table import HostTable


def test_a_host_with_its_port_comes_before_the_same_host_for_any_port() -> None:
    table = HostTable({"10.0.0.1": "any", "10.0.0.1:9001": "one", "10.0.0.1:9002": "two"})

    assert [table.find("10.0.0.1", port) for port in (9001, 9002, 9003)] == ["one", "two", "any"]


def test_a_host_with_a_port_leads_nowhere_at_another() -> None:
    table = HostTable({"10.0.0.1:9001": "one"})

    assert table.find("10.0.0.1", 80) is None


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("payments", "payments."),
        ("payments.default.svc", "payments.default.svc."),
        ("10.0.0.1", "10.1"),
        ("10.0.0.1", "::ffff:10.0.0.1"),
        ("10.0.0.1", "0xa000001"),
        ("[2001:db8::1]", "2001:db8:0:0:0:0:0:1"),
        ("[2001:DB8:0::1]", "2001:db8::1"),
    ],
)
def test_every_spelling_of_a_host_leads_where_it_does(written: str, host: str) -> None:
    assert HostTable({written: "here"}).find(host, 80) == "here"
    assert HostTable({f"{written}:8080": "here"}).find(host, 8080) == "here"


@pytest.mark.parametrize("host", ["payments..", "payment", "", ".", "xpayments"])
def test_other_hosts_lead_nowhere(host: str) -> None:
    assert HostTable({"payments": "here"}).find(host, 80) is None


def test_its_hosts_are_told_in_order_those_for_any_port_first() -> None:
    assert HostTable({"c": 0, "b": 1, "a:1": 2, "[::1]:9": 3}).hosts == ["b", "c", "[::1]:9", "a:1"]
