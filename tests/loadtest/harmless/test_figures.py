import pytest

from loadtest.harmless.figures import figures
from loadtest.harmless.plan import Request
from loadtest.harmless.situation import Call, Situation

SITUATION = Situation("two", "", (Call("quick", rate=1.0), Call("slow", rate=1.0)), seconds=10.0)


def request(kind: int, took: float, *, good: bool = True) -> Request:
    return Request(0, kind, 1.0, 0.0, 0.0, 0.0, took, good)


def test_each_kind_is_counted_by_itself() -> None:
    quick, slow = figures(SITUATION, [request(0, 0.01), request(0, 0.02), request(1, 3.0)])

    assert (quick.kind, quick.requests, quick.p99) == ("quick", 2, 0.02)
    assert (slow.kind, slow.requests, slow.p50) == ("slow", 1, 3.0)


def test_success_and_throughput_are_of_whole_good_answers() -> None:
    quick, _ = figures(
        SITUATION, [request(0, 0.01), request(0, 0.5, good=False), request(0, 2.0, good=False), request(0, 0.03)]
    )

    assert (quick.good, quick.success, quick.throughput) == (2, 0.5, pytest.approx(0.2))
    assert quick.longest == 0.03


def test_where_nothing_was_good_there_is_no_latency() -> None:
    quick, slow = figures(SITUATION, [request(0, 0.01, good=False)])

    assert (quick.p50, quick.p99, quick.longest, quick.success) == (None, None, None, 0.0)
    assert slow.success == 1.0
