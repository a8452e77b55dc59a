"""Addresses to listen at and to call: `127.0.0.1:16001`, `http://payments:8080`, and names of hosts."""

import re
import socket
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, Self, TypeAlias

_LISTEN = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]:]*)):([0-9]{1,5})")
_URL = re.compile(r"(https?)://(?:\[([^\[\]/?#@]*)\]|([^\[\]/?#@:]*))(?::([0-9]{1,5}))?")
_DOCUMENT_URL = re.compile(r"(https://[^/?#@\s]+)/[A-Za-z0-9._~:/?@!$&'()*+,;=%-]{0,2000}")
_RECEIVER_URL = re.compile(r"(https?://[^/?#@\s]+)/[A-Za-z0-9._~:/@!$&'()*+,;=%-]{1,2000}")
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.IGNORECASE)
_HOST_PORT = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::([0-9]{1,5}))?")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_RANGE = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]:]*)):([0-9]{1,5})")
_PORTS = {"http": 80, "https": 443}
_NAT64 = IPv6Network("64:ff9b::/96")

IpNetwork: TypeAlias = IPv4Network | IPv6Network

LINK_LOCAL: Final[tuple[IpNetwork, ...]] = (
    IPv4Network("169.254.0.0/16"),
    IPv6Network("fe80::/10"),
    IPv6Network("fd00:ec2::254/128"),
)
"""Addresses of a cloud's credentials, among others: RFC 3927, RFC 4291 §2.5.6, and EC2's address for IPv6."""


class Address(str):
    """A socket to listen on: an IP address without brackets, and a port; port 0 asks the system for a free one.

    It is its own text, `127.0.0.1:16001` or `[::1]:16001`.
    """

    __slots__ = ("host", "port")
    host: str
    port: int

    def __new__(cls, host: str, port: int) -> Self:
        """The parts are taken as they are; `parse` is what judges."""
        address = super().__new__(cls, f"{bracketed(host)}:{port}")
        address.host = host
        address.port = port
        return address

    def __getnewargs__(self) -> tuple[str, int]:  # type: ignore[override]
        return self.host, self.port

    @classmethod
    def parse(cls, written: object) -> Self:
        """Read `127.0.0.1:16001` or `[::1]:16001`. Raises ValueError with the rule it breaks."""
        match = _LISTEN.fullmatch(written) if isinstance(written, str) else None
        host = None if match is None else _ip(match[1], match[2])
        if match is None or host is None:
            raise ValueError("must be an IP address and a port, like 127.0.0.1:16001 or [::1]:16001")
        if int(match[3]) > 65535:
            raise ValueError("must have a port of at most 65535")
        return cls(host, int(match[3]))

    @property
    def unspecified(self) -> bool:
        """Whether it stands for every address of its family."""
        return self.host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound

    def overlaps(self, other: "Address") -> bool:
        """Whether both can not be listened on at once: same port, and the same address or all of its family."""
        if self.port != other.port or self.port == 0:
            return False
        same_family = (":" in self.host) == (":" in other.host)
        return self.host == other.host or (same_family and (self.unspecified or other.unspecified))


class Endpoint(str):
    """One address of a destination. `scheme` is http or https; `host` is lower-cased, an IPv6 address without brackets.

    It is its own text, `http://payments:8080`, always with its port.
    """

    __slots__ = ("host", "port", "scheme")
    scheme: str
    host: str
    port: int

    def __new__(cls, scheme: str, host: str, port: int) -> Self:
        """The parts are taken as they are; `parse` is what judges."""
        endpoint = super().__new__(cls, f"{scheme}://{bracketed(host)}:{port}")
        endpoint.scheme = scheme
        endpoint.host = host
        endpoint.port = port
        return endpoint

    def __getnewargs__(self) -> tuple[str, str, int]:  # type: ignore[override]
        return self.scheme, self.host, self.port

    @classmethod
    def parse(cls, written: object) -> Self:
        """Read `http://host[:port]` or `https://host[:port]`. Raises ValueError with the rule it breaks."""
        match = _URL.fullmatch(written) if isinstance(written, str) else None
        if match is None:
            raise ValueError("must be a URL like http://host:port or https://host, without path, query or user")
        host = _host(match[3]) if match[2] is None else _ip(match[2], None)
        if host is None:
            raise ValueError("must name a host: letters, digits, '-', '_' and '.', or an IP address")
        port = _PORTS[match[1]] if match[4] is None else int(match[4])
        if not 1 <= port <= 65535:
            raise ValueError("must have a port between 1 and 65535")
        return cls(match[1], host, port)


class Host(str):
    """A host as a Host header has it, lower-cased and without port; an IPv6 address in brackets."""

    __slots__ = ()

    @classmethod
    def parse(cls, written: object) -> Self:
        """Read one name. Raises ValueError with the rule it breaks."""
        if isinstance(written, str):
            if written.startswith("[") and written.endswith("]"):
                address = _ip(written[1:-1], None)
                if address is not None:
                    return cls(f"[{address}]")
            host = _host(written)
            if host is not None:
                return cls(host)
        raise ValueError("must be a host name or IP address without port: letters, digits, '-', '_' and '.'")


class HostPort(str):
    """A Host with a port, or for any port.

    It is its own text, `payments` or `payments:8080`; `host` is lower-cased, an IPv6 address without brackets.
    """

    __slots__ = ("host", "port")
    host: str
    port: int | None

    def __new__(cls, host: str, port: int | None = None) -> Self:
        """The parts are taken as they are; `parse` is what judges."""
        host_port = super().__new__(cls, bracketed(host) if port is None else f"{bracketed(host)}:{port}")
        host_port.host = host
        host_port.port = port
        return host_port

    def __getnewargs__(self) -> tuple[str, int | None]:  # type: ignore[override]
        return self.host, self.port

    @classmethod
    def parse(cls, written: object) -> Self:
        """Read one name. Raises ValueError with the rule it breaks."""
        match = _HOST_PORT.fullmatch(written) if isinstance(written, str) else None
        try:
            host = Host.parse(None if match is None else match[1])
        except ValueError:
            rule = "must be a host name or IP address, with or without port: letters, digits, '-', '_' and '.'"
            raise ValueError(rule) from None
        assert match is not None
        port = None if match[2] is None else int(match[2])
        if port is not None and not 1 <= port <= 65535:
            raise ValueError("must have a port between 1 and 65535")
        return cls(host.strip("[]"), port)


class AddressRange(str):
    """IP addresses, at one port or at any.

    It is its own text, `169.254.169.254`, `169.254.0.0/16`, `fe80::/10` or `[fe80::1]:80`.
    """

    __slots__ = ("network", "port")
    network: IpNetwork
    port: int | None

    def __new__(cls, network: IpNetwork, port: int | None = None) -> Self:
        """The parts are taken as they are; `parse` is what judges."""
        single = network.prefixlen == network.max_prefixlen
        text = str(network.network_address if single else network)
        written = super().__new__(cls, text if port is None else f"{bracketed(text)}:{port}")
        written.network = network
        written.port = port
        return written

    def __getnewargs__(self) -> tuple[IpNetwork, int | None]:  # type: ignore[override]
        return self.network, self.port

    @classmethod
    def parse(cls, written: object) -> Self:
        """Read one address or network. Raises ValueError with the rule it breaks."""
        try:
            if isinstance(written, str) and (match := _RANGE.fullmatch(written)):
                network = ip_network(match[2] if match[1] is None else match[1])
                port = int(match[3])
            else:
                network, port = ip_network(written if isinstance(written, str) else ""), None
        except ValueError:
            rule = "must be an IP address or a network, with or without port, like 169.254.169.254 or [fe80::1]:80"
            raise ValueError(rule) from None
        if port is not None and not 1 <= port <= 65535:
            raise ValueError("must have a port between 1 and 65535")
        return cls(network, port)

    def covers(self, host: str, port: int) -> bool:
        """Whether `host`, an IP address, is in it at this port."""
        try:
            return self.port in (None, port) and ip_address(host) in self.network
        except ValueError:
            return False


class PolicyUrl(str):
    """An https address of a document: what is fetched from it governs, so that no hop on the way may change it."""

    __slots__ = ()

    @classmethod
    def parse(cls, written: object) -> Self:
        """Read `https://host[:port]/path[?query]`. Raises ValueError with the rule it breaks."""
        match = _DOCUMENT_URL.fullmatch(written) if isinstance(written, str) else None
        if match is None:
            raise ValueError("must be a URL like https://host/path, without user or fragment")
        try:
            Endpoint.parse(match[1])
        except ValueError as error:
            raise ValueError(f"its host {error}") from None
        return cls(match[0])


class ReceiverUrl(str):
    """The receiver of traces: an address with its whole path."""

    __slots__ = ()

    @classmethod
    def parse(cls, written: object) -> Self:
        """Read `http://host[:port]/path` or `https://…`. Raises ValueError with the rule it breaks."""
        match = _RECEIVER_URL.fullmatch(written) if isinstance(written, str) else None
        if match is None:
            raise ValueError("must be a URL with its path, like http://collector:4318/v1/traces, without user or query")
        try:
            Endpoint.parse(match[1])
        except ValueError as error:
            raise ValueError(f"its host {error}") from None
        return cls(match[0])


def redacted(text: str) -> str:
    """A text with what URLs in it keep secret left out: their query, where signatures and tokens are, and their user.

    `https://ann:pw@host/p.yaml?sig=abc` becomes `https://…@host/p.yaml?…`. All that is logged or shown of a URL passes
    here.
    """
    if "://" not in text:
        return text
    return " ".join(map(_without_secrets, text.split(" ")))


def _without_secrets(word: str) -> str:
    scheme, mark, rest = word.partition("://")
    if not mark:
        return word
    shown, query, secret = rest.partition("?")
    closing = secret[len(secret.rstrip("\"')]},.;:")) :]
    authority, slash, path = shown.partition("/")
    user, at, host = authority.rpartition("@")
    kept = f"{scheme}://{'…@' if at and user else ''}{host}{slash}{path}"
    return f"{kept}?…{closing}" if query else kept


def bracketed(host: str) -> str:
    """A host as a Host header has it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def canonical_host(host: str) -> str:
    """One spelling for all hosts that mean the same: no dot at the end, addresses as they are usually written.

    `host` is lower-cased and without brackets. Resolvers take `127.1`, `0x7f.0.0.1` and `2130706433` for an IPv4
    address (RFC 3986 §7.4), and the kernel an IPv6 address that it is mapped into (RFC 4291 §2.5.5.2).
    """
    if ":" in host:
        try:
            address = IPv6Address(host)
        except AddressValueError:
            return host
        return str(address.ipv4_mapped or address)
    host = host.removesuffix(".")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            return socket.inet_ntoa(socket.inet_aton(host))
        except OSError:
            return host
    return host


def link_local(host: str) -> bool:
    """Whether `host` is an IP address of LINK_LOCAL, also inside one that is translated on the way to it.

    That is NAT64 (RFC 6052 §2.1) and 6to4 (RFC 3056 §2). `host` is canonical.
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        inner = address.sixtofour
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            address = inner
    return any(address in network for network in LINK_LOCAL)


def _ip(six: str | None, four: str | None) -> str | None:
    try:
        return str(IPv4Address(four) if six is None else IPv6Address(six))
    except (AddressValueError, TypeError):
        return None


def _host(name: str) -> str | None:
    if len(name) > 253 or not _HOST.fullmatch(name):
        return None
    if re.fullmatch(r"[0-9.]+", name):
        return _ip(None, name)
    return name.lower()
