"""Which fields stay on one hop."""

import pytest

from sidecar.wire.hopbyhop import (
    CONNECTION,
    CONTENT_LENGTH,
    DROPPED,
    FORBIDDEN_TRAILERS,
    HOST,
    ORDINARY,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    role_of,
    tokens,
)


@pytest.mark.parametrize(
    "name",
    [
        b"Keep-Alive",
        b"proxy-authorization",
        b"Proxy-Authenticate",
        b"Proxy-Connection",
        b"Trailer",
        b"HTTP2-Settings",
    ],
)
def test_hop_by_hop_fields_and_our_own_are_dropped(name: bytes) -> None:
    assert role_of(name) == DROPPED


@pytest.mark.parametrize("name", [b"x-envoy-max-retries", b"X-Envoy-Retry-On", b"x-sidecar-policy"])
def test_words_that_would_outrank_the_policy_are_dropped(name: bytes) -> None:
    assert role_of(name) == DROPPED


@pytest.mark.parametrize("name", [b"Accept", b"x-envoy-peer-metadata", b"X-Sidecarless", b"Set-Cookie"])
def test_all_others_are_ordinary(name: bytes) -> None:
    assert role_of(name) == ORDINARY


def test_the_case_of_a_name_does_not_matter() -> None:
    assert role_of(b"HOST") == role_of(b"host") == HOST
    assert role_of(b"cOnNeCtIoN") == CONNECTION


def test_a_list_is_read_without_its_empty_members() -> None:
    assert tokens(b" Close, ,\tX-A ,") == [b"close", b"x-a"]


def test_roles_from_connection_up_are_the_ones_that_are_not_passed_on() -> None:
    kept = [b"host", b"content-length", b"date", b"retry-after", b"x-request-id", b"traceparent", b"expect", b"te"]
    dropped = [b"connection", b"transfer-encoding", b"upgrade", b"keep-alive"]

    assert max(map(role_of, kept)) == TE < CONNECTION == min(map(role_of, dropped))


def test_a_trailer_may_not_change_where_its_message_ends() -> None:
    framing = {b"content-length": CONTENT_LENGTH, b"transfer-encoding": TRANSFER_ENCODING, b"upgrade": UPGRADE}

    assert {name: role_of(name) for name in framing} == framing
    assert {b"content-length", b"transfer-encoding", b"host", b"authorization"} <= FORBIDDEN_TRAILERS
