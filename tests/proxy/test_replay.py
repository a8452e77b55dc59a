"""The replay buffer."""

from sidecar.proxy.replay import ReplayBuffer


def test_a_body_within_the_limit_can_be_sent_again_in_one_piece() -> None:
    buffer = ReplayBuffer(10)

    buffer.keep(b"hello")
    buffer.keep(b"you")
    buffer.sent()

    assert buffer.replayable
    assert buffer.send() == b"helloyou"
    assert buffer.send() == b"helloyou"


def test_a_body_over_the_limit_is_let_go_once_it_is_sent() -> None:
    buffer = ReplayBuffer(4)

    buffer.keep(b"hello")
    full = buffer.full
    content = buffer.send()

    assert full
    assert content == b"hello"
    assert not buffer.replayable
    assert buffer.send() == b""


def test_a_body_exactly_at_the_limit_is_kept() -> None:
    buffer = ReplayBuffer(5)

    buffer.keep(b"hello")
    buffer.sent()

    assert buffer.replayable


def test_what_came_with_the_head_counts_like_what_came_later() -> None:
    buffer = ReplayBuffer(5, b"hello")

    within = buffer.full
    buffer.keep(b"y")

    assert not within
    assert buffer.full
    assert buffer.send() == b"helloy"
    assert not buffer.replayable
