"""Where no request is sent."""

import socket

import pytest

from sidecar.net import Address, AddressRange
from sidecar.proxy.egress_guard import Barred, EgressGuard


def judged(guard: EgressGuard, host: str, port: int) -> str:
    """The reason, empty when it may be called."""
    try:
        guard.check(host, port)
    except Barred as barred:
        return barred.reason
    return ""


@pytest.mark.parametrize(
    ("own", "host", "port", "ours"),
    [
        (("127.0.0.1", 16001), "127.0.0.1", 16001, True),
        (("127.0.0.1", 16001), "localhost", 16001, True),
        (("127.0.0.1", 16001), "127.0.0.1", 16002, False),
        (("127.0.0.1", 16001), "payments", 16001, False),
        (("0.0.0.0", 16006), "127.0.0.1", 16006, True),
        (("::1", 16001), "::1", 16001, True),
        (("127.0.0.1", 16001), "0.0.0.0", 16001, True),
        (("::1", 16001), "::", 16001, True),
        (("127.0.0.1", 16001), "127.0.0.2", 16001, False),
        # Every other spelling of the same address.
        (("127.0.0.1", 16001), "::ffff:127.0.0.1", 16001, True),
        (("127.0.0.1", 16001), "::ffff:7f00:1", 16001, True),
        (("127.0.0.1", 16001), "0:0:0:0:0:ffff:7f00:0001", 16001, True),
        (("127.0.0.1", 16001), "::ffff:0:0", 16001, True),
        (("127.0.0.1", 16001), "127.1", 16001, True),
        (("127.0.0.1", 16001), "2130706433", 16001, True),
        (("127.0.0.1", 16001), "0x7f.0.0.1", 16001, True),
        (("127.0.0.1", 16001), "0177.0.0.1", 16001, True),
        (("127.0.0.1", 16001), "127.0.0.1.", 16001, True),
        (("127.0.0.1", 16001), "0", 16001, True),
        (("127.0.0.1", 16001), "localhost.", 16001, True),
        (("127.0.0.1", 16001), "any.localhost", 16001, True),
        (("::1", 16001), "0:0:0:0:0:0:0:1", 16001, True),
    ],
)
def test_an_address_of_our_own_is_known_in_every_spelling(
    own: tuple[str, int], host: str, port: int, *, ours: bool
) -> None:
    guard = EgressGuard([Address(*own)])

    assert judged(guard, host, port) == ("loop" if ours else "")


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.0.1",
        "::ffff:169.254.169.254",
        "::ffff:a9fe:a9fe",
        "64:ff9b::169.254.169.254",
        "2002:a9fe:a9fe::",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "169.254.169.254.",
        "fe80::1",
        "fe80::1%25eth0",
        "febf::1",
        "fd00:ec2::254",
        "fd00:ec2:0:0::0:254",
    ],
)
def test_link_local_addresses_are_refused_in_every_spelling(host: str) -> None:
    assert judged(EgressGuard(), host, 80) == "address_refused"


@pytest.mark.parametrize("host", ["10.0.0.1", "169.253.0.1", "metadata.google.internal", "fec0::1", "2001:db8::1", ""])
def test_nothing_else_is_refused(host: str) -> None:
    assert judged(EgressGuard(), host, 80) == ""


def test_what_is_allowed_is_not_refused_in_any_spelling() -> None:
    guard = EgressGuard(allowed=[AddressRange.parse("169.254.169.254:80"), AddressRange.parse("fe80::/10")])

    assert judged(guard, "169.254.169.254", 80) == ""
    assert judged(guard, "::ffff:a9fe:a9fe", 80) == ""
    assert judged(guard, "169.254.169.254", 8080) == "address_refused"
    assert judged(guard, "169.254.170.2", 80) == "address_refused"
    assert judged(guard, "fe80::7", 443) == ""


@pytest.mark.parametrize("written", ["0.0.0.0", "127.0.0.1"])
def test_the_admin_port_is_refused_unless_it_is_allowed_by_its_port(written: str) -> None:
    control = [Address(written, 16000)]

    assert judged(EgressGuard(control=control), "127.0.0.1", 16000) == "address_refused"
    assert judged(EgressGuard(control=control), "localhost", 16000) == "address_refused"
    assert judged(EgressGuard(control=control), "127.0.0.1", 16001) == ""
    by_address = EgressGuard(control=control, allowed=[AddressRange.parse("127.0.0.0/8")])
    assert judged(by_address, "127.0.0.1", 16000) == "address_refused"
    by_port = EgressGuard(control=control, allowed=[AddressRange.parse("127.0.0.1:16000")])
    assert judged(by_port, "127.0.0.1", 16000) == ""


def test_a_loop_is_never_allowed() -> None:
    guard = EgressGuard([Address("127.0.0.1", 16001)], allowed=[AddressRange.parse("127.0.0.1:16001")])

    assert judged(guard, "127.0.0.1", 16001) == "loop"


@pytest.mark.parametrize(("kind", "reason"), [("outbound", "loop"), ("control", "address_refused"), ("inbound", "")])
def test_a_connection_to_an_address_of_this_machine_is_known_where_all_of_them_are_listened_on(
    kind: str, reason: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as sock:
        guard = EgressGuard(**{kind: [Address("0.0.0.0", listening.getsockname()[1])]})
        try:
            guard.check_connected(sock)
        except Barred as barred:
            found = barred.reason
        else:
            found = ""

    assert found == reason


def test_a_connection_to_elsewhere_may_have_our_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0)) as sock:
            EgressGuard([Address("0.0.0.0", port)]).check_connected(sock)
