"""Where a body ends (RFC 9112 §6.3)."""

import pytest

from sidecar.wire.framing import Framing, request_framing, response_framing
from sidecar.wire.malformed import Malformed


@pytest.mark.parametrize(
    ("minor", "length", "coding", "framing"),
    [
        (1, None, None, Framing.NONE),
        (1, 0, None, Framing.NONE),
        (1, 5, None, Framing.LENGTH),
        (1, None, b"chunked", Framing.CHUNKED),
        (1, None, b" Chunked ", Framing.CHUNKED),
        (0, 5, None, Framing.LENGTH),
    ],
)
def test_a_requests_body_ends_where_its_head_says(
    minor: int, length: int | None, coding: bytes | None, framing: Framing
) -> None:
    assert request_framing(minor, length, coding) is framing


@pytest.mark.parametrize(
    ("minor", "length", "coding", "status"),
    [
        (0, None, b"chunked", 400),
        (1, 5, b"chunked", 400),
        (1, None, b"gzip, chunked", 501),
        (1, None, b"chunked,chunked", 501),
    ],
)
def test_a_request_that_could_be_read_in_two_ways_is_refused(
    minor: int, length: int | None, coding: bytes, status: int
) -> None:
    with pytest.raises(Malformed) as caught:
        request_framing(minor, length, coding)

    assert caught.value.status == status


@pytest.mark.parametrize(
    ("status", "length", "coding", "to_head", "framing"),
    [
        (200, 5, None, False, Framing.LENGTH),
        (200, 0, None, False, Framing.NONE),
        (200, None, b"chunked", False, Framing.CHUNKED),
        (200, None, None, False, Framing.CLOSE),
        (200, 5, None, True, Framing.NONE),
        (200, None, b"chunked", True, Framing.NONE),
        (204, 5, None, False, Framing.NONE),
        (304, 5, None, False, Framing.NONE),
        (103, None, None, False, Framing.NONE),
        (103, 5, None, False, Framing.NONE),
        (101, 0, None, False, Framing.NONE),
    ],
)
def test_a_responses_body_ends_where_head_and_question_say(
    status: int, length: int | None, coding: bytes | None, framing: Framing, *, to_head: bool
) -> None:
    assert response_framing(1, status, length, coding, to_head=to_head) is framing


@pytest.mark.parametrize(("minor", "length", "coding"), [(0, None, b"chunked"), (1, 5, b"chunked"), (1, None, b"gzip")])
def test_a_response_that_could_be_read_in_two_ways_is_refused(minor: int, length: int | None, coding: bytes) -> None:
    with pytest.raises(Malformed):
        response_framing(minor, 200, length, coding, to_head=False)


@pytest.mark.parametrize(
    ("length", "coding", "reason"), [(5, None, "content_length"), (None, b"chunked", "transfer_encoding")]
)
@pytest.mark.parametrize("to_head", [False, True])
def test_a_101_that_announces_a_body_is_refused(
    length: int | None, coding: bytes | None, reason: str, *, to_head: bool
) -> None:
    with pytest.raises(Malformed) as caught:
        response_framing(1, 101, length, coding, to_head=to_head)

    assert (caught.value.status, caught.value.reason) == (502, reason)
