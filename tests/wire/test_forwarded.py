"""The service is told who asked, whatever was said before."""

import pytest

from sidecar.wire.forwarded import forwarded


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"Host: a\r\n", b"Host: a\r\nX-Forwarded-For: 10.0.0.9\r\n"),
        (b"X-Forwarded-For: 1.2.3.4\r\nHost: a\r\n", b"X-Forwarded-For: 1.2.3.4, 10.0.0.9\r\nHost: a\r\n"),
        (b"Host: a\r\nx-forwarded-FOR:1.2.3.4 \r\n", b"Host: a\r\nx-forwarded-FOR: 1.2.3.4, 10.0.0.9\r\n"),
        (b"Host: a\r\nX-Forwarded-For: \r\n", b"Host: a\r\nX-Forwarded-For: 10.0.0.9\r\n"),
        (
            b"X-Forwarded-For: 1.1.1.1\r\nHost: a\r\nX-Forwarded-For: 2.2.2.2\r\n",
            b"X-Forwarded-For: 1.1.1.1\r\nHost: a\r\nX-Forwarded-For: 2.2.2.2, 10.0.0.9\r\n",
        ),
        (b"Not-X-Forwarded-For: 1\r\n", b"Not-X-Forwarded-For: 1\r\nX-Forwarded-For: 10.0.0.9\r\n"),
        (b"", b"X-Forwarded-For: 10.0.0.9\r\n"),
    ],
)
def test_the_client_is_appended_to_the_last_list_of_clients(before: bytes, after: bytes) -> None:
    assert forwarded(before, b"10.0.0.9", b"http") == after + b"X-Forwarded-Proto: http\r\n"


def test_a_scheme_that_is_given_is_the_first_ones_and_stays() -> None:
    fields = forwarded(b"x-forwarded-proto: https\r\n", b"::1", b"http")

    assert fields == b"x-forwarded-proto: https\r\nX-Forwarded-For: ::1\r\n"
