"""Heads met lately are known again, and there are never more of them than said."""

from typing import TypeVar

from sidecar.wire.recent import Recent

Kept = TypeVar("Kept")


def recalled(recent: Recent[Kept], head: bytes) -> Kept | None:
    kept = recent.get(head)
    return recent.recall(head) if kept is None else kept


def head(number: int) -> bytes:
    return b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number


def test_a_head_is_known_by_all_of_its_bytes() -> None:
    recent: Recent[str] = Recent()

    recent.keep(head(1), "one")

    assert recalled(recent, head(1)) == "one"
    assert recalled(recent, head(1)[:-2]) is None
    assert recalled(recent, b"") is None


def test_it_never_holds_more_than_two_generations_whatever_comes() -> None:
    recent: Recent[int] = Recent()

    for number in range(10_000):
        recent.keep(head(number), number)

    known = [number for number in range(10_000) if recalled(recent, head(number)) is not None]
    assert 128 <= len(known) <= 256
    assert known[-1] == 9_999


def test_what_is_asked_for_again_outlives_any_number_of_others() -> None:
    recent: Recent[int] = Recent()
    recent.keep(head(0), 0)

    for number in range(1, 10_000):
        recent.keep(head(number), number)
        if number % 100 == 0:
            assert recalled(recent, head(0)) == 0


def test_a_head_over_a_kibibyte_is_not_kept() -> None:
    recent: Recent[int] = Recent()

    recent.keep(b"x" * 1024, 1)
    recent.keep(b"x" * 1025, 2)

    assert recalled(recent, b"x" * 1024) == 1
    assert recalled(recent, b"x" * 1025) is None


def test_nothing_is_known_after_a_clear() -> None:
    recent: Recent[int] = Recent()
    for number in range(200):
        recent.keep(head(number), number)

    recent.clear()

    assert all(recalled(recent, head(number)) is None for number in range(200))
