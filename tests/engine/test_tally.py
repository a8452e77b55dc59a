from sidecar.engine.outcome import AttemptKind, Result
from sidecar.engine.tally import Tally
from sidecar.engine.verdict import Refusal


def test_a_new_tally_has_seen_nothing() -> None:
    tally = Tally()

    assert tally.requests_total == tally.attempts_total == 0
    assert tally.refusals == dict.fromkeys(Refusal, 0)
    assert tally.request_seconds.count == 0


def test_requests_are_counted_over_all_results() -> None:
    tally = Tally()

    for result in Result:
        tally.requests[result] += int(result) + 1

    assert tally.requests_total == 28


def test_attempts_are_counted_over_all_kinds_and_results() -> None:
    tally = Tally()

    for kind in AttemptKind:
        for result in Result:
            tally.attempts[kind][result] += 1

    assert tally.attempts_total == 21


def test_the_kinds_of_attempts_are_counted_apart() -> None:
    tally = Tally()

    tally.attempts[AttemptKind.RETRY][Result.SUCCESS] += 1

    assert [sum(results) for results in tally.attempts] == [0, 1, 0]


def test_two_destinations_are_counted_apart() -> None:
    one, other = Tally(), Tally()

    one.requests[Result.SUCCESS] += 1
    one.refusals[Refusal.DEADLINE] += 1
    one.retry_after_seconds.observe(1.0)

    assert other.requests_total == 0
    assert other.refusals[Refusal.DEADLINE] == 0
    assert other.retry_after_seconds.count == 0
