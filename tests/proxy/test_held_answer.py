"""A bad answer that waits for its retry to leave."""

from sidecar.proxy.held_answer import HELD_BYTES, HeldAnswer
from sidecar.wire.head import ResponseHead


class Cancelled:
    def __init__(self) -> None:
        self.times = 0

    def cancel(self) -> None:
        self.times += 1


HEAD = ResponseHead(503, b"503 Service Unavailable", 1)


def test_what_comes_of_an_answer_that_is_held_is_kept_with_it() -> None:
    held = HeldAnswer(HEAD, b"a", Cancelled())  # type: ignore[arg-type]

    kept = held.keep(b"b")
    before = held.complete
    held.end(b"X: y\r\n")

    assert (kept, before, held.complete) == (True, False, True)
    assert (held.body, held.trailers) == (b"ab", b"X: y\r\n")


def test_more_than_its_bound_is_not_kept_and_the_rest_not_read() -> None:
    stream = Cancelled()
    held = HeldAnswer(HEAD, b"", stream)  # type: ignore[arg-type]

    at_the_bound = held.keep(bytes(HELD_BYTES))
    over_it = held.keep(b"x")

    assert (at_the_bound, over_it) == (True, False)
    assert stream.times == 1


def test_letting_it_go_cancels_only_what_is_still_to_come() -> None:
    stream = Cancelled()
    whole, part = HeldAnswer(HEAD, b"", None), HeldAnswer(HEAD, b"", stream)  # type: ignore[arg-type]

    whole.let_go()
    part.let_go()

    assert stream.times == 1
