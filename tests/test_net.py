import copy

import pytest

from sidecar.net import Address, Endpoint, Host, redacted


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:16001", "127.0.0.1", 16001),
        ("[::1]:16001", "::1", 16001),
        ("0.0.0.0:0", "0.0.0.0", 0),
        ("[0:0::1]:1", "::1", 1),
    ],
)
def test_an_address_has_a_host_and_a_port(text: str, host: str, port: int) -> None:
    address = Address.parse(text)

    assert (address.host, address.port) == (host, port)


def test_an_address_is_its_own_text() -> None:
    assert Address.parse("[0:0::1]:16001") == "[::1]:16001"
    assert Address("::1", 16001) == "[::1]:16001"


@pytest.mark.parametrize(
    "written",
    [
        16001,
        None,
        "",
        "16001",
        ":16001",
        "localhost:16001",
        "127.0.0.1",
        "::1:16001",
        "[::1]",
        "[127.0.0.1]:1",
        "1.2.3:4",
        "1.2.3.4:-1",
        "1.2.3.4:123456",
        "http://1.2.3.4:5",
    ],
)
def test_what_is_no_ip_address_and_port_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be an IP address and a port, like"):
        Address.parse(written)


def test_a_port_has_sixteen_bits() -> None:
    with pytest.raises(ValueError, match="must have a port of at most 65535"):
        Address.parse("127.0.0.1:65536")


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("127.0.0.1:1", "127.0.0.1:1", True),
        ("127.0.0.1:1", "127.0.0.1:2", False),
        ("127.0.0.1:1", "127.0.0.2:1", False),
        ("0.0.0.0:1", "127.0.0.1:1", True),
        ("127.0.0.1:1", "0.0.0.0:1", True),
        ("[::]:1", "[::1]:1", True),
        ("[::]:1", "0.0.0.0:1", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
    ],
)
def test_addresses_overlap_when_both_can_not_be_listened_on(one: str, other: str, overlap: bool) -> None:
    assert Address.parse(one).overlaps(Address.parse(other)) is overlap


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port"),
    [
        ("http://payments:8080", "http", "payments", 8080),
        ("http://Payments.Default.SVC", "http", "payments.default.svc", 80),
        ("https://api.example", "https", "api.example", 443),
        ("https://[::1]:8443", "https", "::1", 8443),
        ("http://10.0.0.1:1", "http", "10.0.0.1", 1),
    ],
)
def test_an_endpoint_has_scheme_host_and_port(text: str, scheme: str, host: str, port: int) -> None:
    endpoint = Endpoint.parse(text)

    assert (endpoint.scheme, endpoint.host, endpoint.port) == (scheme, host, port)


def test_an_endpoint_is_its_own_text_with_its_port() -> None:
    assert Endpoint.parse("https://[::1]") == "https://[::1]:443"


@pytest.mark.parametrize(
    "written",
    [
        None,
        80,
        "",
        "payments:8080",
        "ftp://a:1",
        "HTTP://a:1",
        "http://a:1/",
        "http://a:1/x",
        "http://a?x",
        "http://u@a",
        "http://u:p@a:1",
        "http://a#b",
        "http://a:b",
        "http://a:1 ",
    ],
)
def test_what_is_more_or_less_than_scheme_host_and_port_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be a URL like http://host:port or https://host"):
        Endpoint.parse(written)


@pytest.mark.parametrize(
    "url",
    [
        "http://:80",
        "http://a b",
        "http://-a",
        "http://a..b",
        "http://1.2.3",
        "http://[1]",
        "http://é",
        "http://" + "a" * 64,
    ],
)
def test_an_endpoint_names_a_host_that_can_be(url: str) -> None:
    with pytest.raises(ValueError, match="must name a host"):
        Endpoint.parse(url)


@pytest.mark.parametrize("port", ["0", "65536"])
def test_an_endpoint_names_a_port_that_can_be(port: str) -> None:
    with pytest.raises(ValueError, match="must have a port between 1 and 65535"):
        Endpoint.parse(f"http://a:{port}")


@pytest.mark.parametrize(
    ("text", "host"), [("Payments", "payments"), ("a_b.C-d", "a_b.c-d"), ("10.0.0.1", "10.0.0.1"), ("[0::1]", "[::1]")]
)
def test_a_host_is_lower_case_and_an_ipv6_address_keeps_its_brackets(text: str, host: str) -> None:
    assert Host.parse(text) == host


@pytest.mark.parametrize("written", [None, 5, "", "a:80", "a/b", "*", "*.a", "::1", "[::1", "[a]", "a b", "http://a"])
def test_what_is_no_host_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be a host name or IP address without port"):
        Host.parse(written)


def test_a_copy_keeps_the_parts() -> None:
    address, endpoint = copy.deepcopy((Address("::1", 1), Endpoint("http", "a", 2)))

    assert (address.host, address.port) == ("::1", 1)
    assert (endpoint.scheme, endpoint.host, endpoint.port) == ("http", "a", 2)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://host/p.yaml?sig=abc", "https://host/p.yaml?…"),
        ("https://ann:pw@host:8443/p.yaml", "https://…@host:8443/p.yaml"),
        ("https://host/@a/p.yaml", "https://host/@a/p.yaml"),
        ("GET 'https://u@h/?a=b': no route; http://x/?c", "GET 'https://…@h/?…': no route; http://x/?…"),
        ('"https://h/p?sig=a/b//c@d"', '"https://h/p?…"'),
        ("no address? none", "no address? none"),
        ("", ""),
    ],
)
def test_what_urls_keep_secret_is_not_shown(text: str, shown: str) -> None:
    assert redacted(text) == shown
    assert redacted(shown) == shown
