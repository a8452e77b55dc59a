"""Which fields stay on one hop."""

import pytest

from sidecar.wire.hopbyhop import CONNECTION, DROPPED, HOST, ORDINARY, role_of, tokens


@pytest.mark.parametrize(
    "name", [b"Keep-Alive", b"proxy-authorization", b"Trailer", b"X-Retry-Attempt", b"HTTP2-Settings"]
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
