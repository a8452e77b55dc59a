"""Host and port as a request names them."""

import pytest

from sidecar.wire.authority import _usual_authority, format_authority, parse_authority
from sidecar.wire.malformed import Malformed


@pytest.mark.parametrize(
    ("value", "host", "port"),
    [
        (b"payments", "payments", None),
        (b"Payments.Default.SVC:8080", "payments.default.svc", 8080),
        (b"127.0.0.1:1", "127.0.0.1", 1),
        (b"[::1]:65535", "::1", 65535),
        (b"[2001:DB8::1]", "2001:db8::1", None),
        (b"payments:", "payments", None),
    ],
)
def test_a_host_is_lowered_and_parted_from_its_port(value: bytes, host: str, port: int | None) -> None:
    assert parse_authority(value) == (host, port)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"a b",
        b"u@a",
        b"u:p@a",
        b"a\x01",
        b"a\x80",
        b"a,b",
        b"a:b",
        b"a:0",
        b"a:65536",
        b"a:1:2",
        b"[::1",
        b"a/b",
        b"::1",
    ],
)
def test_anything_else_is_refused(value: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        parse_authority(value)

    assert (caught.value.status, caught.value.reason) == (400, "host")


def test_an_address_of_the_sixth_version_gets_its_brackets_back() -> None:
    assert format_authority("::1", 80) == b"[::1]:80"
    assert format_authority("payments", None) == b"payments"


@pytest.mark.parametrize("value", [b"payments", b"payments:80", b"[::1]", b"[2001:db8::1]:443", b"127.0.0.1:1"])
def test_what_is_parsed_is_written_again_as_it_was(value: bytes) -> None:
    assert format_authority(*parse_authority(value)) == value


def test_what_stands_behind_many_blanks_is_read_and_not_remembered() -> None:
    before = _usual_authority.cache_info().currsize

    read = {parse_authority(b"payments:80" + b" " * blanks) for blanks in range(300, 2300)}

    assert read == {("payments", 80)}
    assert _usual_authority.cache_info().currsize == before


def test_a_refusal_is_not_remembered_as_an_answer() -> None:
    for _ in range(2):
        with pytest.raises(Malformed):
            parse_authority(b"u@payments")
