"""Where to listen and whom to call: `127.0.0.1:16001`, `http://payments:8080`, and names of hosts."""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Self

_LISTEN = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]:]*)):([0-9]{1,5})")
_URL = re.compile(r"(https?)://(?:\[([^\[\]/?#@]*)\]|([^\[\]/?#@:]*))(?::([0-9]{1,5}))?")
_DOCUMENT_URL = re.compile(r"(https://[^/?#@\s]+)/[A-Za-z0-9._~:/?@!$&'()*+,;=%-]{0,2000}")
_RECEIVER_URL = re.compile(r"(https?://[^/?#@\s]+)/[A-Za-z0-9._~:/@!$&'()*+,;=%-]{1,2000}")
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}


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


class PolicyUrl(str):
    """An https address of a document: what is fetched from it governs, so that nobody on the way may write it."""

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
    """Where traces are sent to: an address with its whole path."""

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


def bracketed(host: str) -> str:
    """A host as a Host header has it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


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
