"""The fields that stay on one hop, and those that mean something to a proxy (RFC 9110 §7.6.1, RFC 9112 §6)."""

from typing import Final

ORDINARY: Final = 0
HOST: Final = 1
CONTENT_LENGTH: Final = 2
DATE: Final = 3
RETRY_AFTER: Final = 4
REQUEST_ID: Final = 5
IDEMPOTENCY_KEY: Final = 6
TRACEPARENT: Final = 7
EXPECT: Final = 8
TE: Final = 9
CONNECTION: Final = 10
TRANSFER_ENCODING: Final = 11
UPGRADE: Final = 12
PEER_REFUSAL: Final = 14
RETRY_ATTEMPT: Final = 15
DROPPED: Final = 13
"""Hop-by-hop, or ours to set: never passed on. Roles from CONNECTION up are not; plain integers, for an enumeration's
look-ups doubled the cost of reading a head (5.2 µs against 2.6 µs)."""

_ROLES = {
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,
    b"connection": CONNECTION,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"upgrade": UPGRADE,
    b"te": TE,
    b"expect": EXPECT,
    b"keep-alive": DROPPED,
    b"proxy-connection": DROPPED,
    b"proxy-authenticate": DROPPED,
    b"proxy-authorization": DROPPED,
    b"trailer": DROPPED,
    b"http2-settings": DROPPED,  # RFC 7540 §3.2.1: only ever sent with `Upgrade: h2c`, which is not passed on
    b"x-retry-attempt": RETRY_ATTEMPT,
    b"x-sidecar-refusal": PEER_REFUSAL,
    b"x-request-id": REQUEST_ID,
    b"retry-after": RETRY_AFTER,
    b"date": DATE,
    b"idempotency-key": IDEMPOTENCY_KEY,
    b"traceparent": TRACEPARENT,
}

FORBIDDEN_TRAILERS = frozenset(
    {
        b"age", b"authorization", b"cache-control", b"content-encoding", b"content-length", b"content-range",
        b"content-type", b"cookie", b"expect", b"expires", b"forwarded", b"host", b"location", b"max-forwards",
        b"set-cookie", b"te", b"trailer", b"transfer-encoding", b"vary", b"via", b"www-authenticate",
        b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto",
    }
)  # fmt: skip
"""Fields that a trailer must not carry (RFC 9110 §6.5.1): framing, routing, authentication, content."""


class _Spellings(dict[bytes, int]):
    """Roles by name as it was spelled: 30 ns against 160 ns. Bounded, for names come from strangers."""

    _MOST = 2048
    _LONGEST = 64

    def __missing__(self, name: bytes) -> int:
        lower = name.lower()
        role = _ROLES.get(lower, ORDINARY)
        if role == ORDINARY and (
            lower.startswith(b"x-sidecar-") or (lower.startswith(b"x-envoy-") and b"retr" in lower)
        ):
            # An application must not outrank the policy: `x-envoy-max-retries: 10` once gave eleven tries.
            role = DROPPED
        if len(name) <= self._LONGEST:
            if len(self) >= self._MOST:
                self.clear()
            self[name] = role
        return role


role_of: Final = _Spellings().__getitem__
"""The role of a field by its name, in whatever case."""


def tokens(value: bytes) -> list[bytes]:
    """The lower-cased members of a comma-separated list, empty ones left out (RFC 9110 §5.6.1)."""
    return [token for part in value.lower().split(b",") if (token := part.strip(b" \t"))]
