"""Two attempts of one exchange at once: a late one and its retry, on a fake clock."""

from msgspec.structs import replace

from sidecar.engine.policy import BackoffPolicy, ConcurrencyPolicy, LimitKind, RetryPolicy
from sidecar.proxy.codecs import HTTP1, Codecs
from sidecar.proxy.open_files import OutOfFiles
from tests.fakes.house import GENEROUS
from tests.fakes.multiplexed import Kind, Multiplexed, frame, frames
from tests.fakes.playbook import Stage

MANY = Codecs(Multiplexed, {})


def frames_for(on: Stage, number: int, status: int, *, connection: int = 0) -> None:
    """Answer a stream of the multiplexed codec."""
    made: dict[int, Multiplexed] = on_connections(on)
    made[connection].data_received(frame(number, Kind.HEAD, b"%d\r\n" % status) + frame(number, Kind.END))


def on_connections(on: Stage) -> dict[int, Multiplexed]:
    found = [one for address in on.pool.addresses for one in address.spare if isinstance(one, Multiplexed)]
    return dict(enumerate(found))


def late_stage(**changes: object) -> Stage:
    """A GET whose first attempt, stream 1, is late, and whose retry, stream 2, is on its way."""
    on = Stage(MANY, replace(GENEROUS, **changes))  # type: ignore[arg-type]
    client = on.ask()
    assert client.log == []
    on.loop.advance(0.5)
    return on


def sent_numbers(on: Stage) -> list[tuple[int, str]]:
    return [(number, kind.name) for number, kind, _ in frames(on.transports[0].take()) if kind is not Kind.END]


def outcomes(on: Stage) -> list[tuple[int, str, bool]]:
    (record,) = on.notes.records
    return [(one.number, one.outcome, one.late) for one in record.attempts]


def nothing_is_taken(on: Stage) -> bool:
    limiter = on.destination.limiter
    return limiter.awaited == 0 and on.pool.addresses[0].in_flight == 0 and on.context.busy == 0


def test_a_late_attempt_goes_on_beside_its_retry_and_wins_if_it_is_answered_first() -> None:
    on = late_stage()

    frames_for(on, 1, 200)

    assert on.clients[0].log == ["respond 200", "end"]
    assert sent_numbers(on) == [(1, "HEAD"), (2, "HEAD"), (2, "CANCEL")]
    assert outcomes(on) == [(1, "200", True), (2, "superseded", False)]
    assert on.destination.tally.late_wins == 1
    assert nothing_is_taken(on)


def test_the_retry_of_a_late_attempt_wins_if_it_is_answered_first() -> None:
    on = late_stage()

    frames_for(on, 2, 200)

    assert on.clients[0].log == ["respond 200", "end"]
    assert sent_numbers(on) == [(1, "HEAD"), (2, "HEAD"), (1, "CANCEL")]
    assert outcomes(on) == [(1, "superseded", True), (2, "200", False)]
    assert nothing_is_taken(on)


def test_a_failure_of_the_retry_leaves_the_late_attempt_awaited() -> None:
    on = late_stage()

    frames_for(on, 2, 503)
    before = list(on.clients[0].log)
    frames_for(on, 1, 200)

    assert before == []
    assert on.clients[0].log == ["respond 200", "end"]
    assert outcomes(on) == [(1, "200", True), (2, "503", False)]
    assert nothing_is_taken(on)


def test_a_failure_of_the_late_attempt_leaves_its_retry_awaited() -> None:
    on = late_stage()

    frames_for(on, 1, 503)
    before = list(on.clients[0].log)
    frames_for(on, 2, 200)

    assert before == []
    assert on.clients[0].log == ["respond 200", "end"]
    assert nothing_is_taken(on)


def test_never_are_three_attempts_under_way_at_once() -> None:
    on = late_stage(retry=RetryPolicy(max_attempts=4))

    on.loop.advance(1.5)

    assert sent_numbers(on) == [(1, "HEAD"), (2, "HEAD")]


def test_when_both_are_still_awaited_at_the_deadline_both_are_called_off() -> None:
    on = late_stage()

    on.loop.advance(3.0)

    assert on.clients[0].log == ["refuse 504 timeout"]
    assert sent_numbers(on) == [(1, "HEAD"), (2, "HEAD"), (1, "CANCEL"), (2, "CANCEL")]
    assert outcomes(on) == [(1, "timeout", True), (2, "timeout", True)]
    assert nothing_is_taken(on)


def test_a_client_that_leaves_while_two_are_under_way_leaves_neither_behind() -> None:
    on = late_stage()
    exchange = on.clients[0].exchange
    assert exchange is not None

    exchange.on_client_gone()

    assert sent_numbers(on) == [(1, "HEAD"), (2, "HEAD"), (1, "CANCEL"), (2, "CANCEL")]
    assert nothing_is_taken(on)


def test_a_late_attempt_that_fails_before_its_retry_has_left_is_judged_anew() -> None:
    slow = BackoffPolicy(base=1.0, max=1.0)
    on = Stage(MANY, replace(GENEROUS, retry=RetryPolicy(backoff=slow)))
    on.ask()
    on.loop.advance(0.35)  # late, and half a second of back-off before its retry

    on_connections(on)[0].data_received(frame(1, Kind.HEAD, b"503\r\n") + frame(1, Kind.END))
    on.loop.advance(0.4)
    between = sent_numbers(on)
    on.loop.advance(0.3)
    frames_for(on, 2, 200)

    assert between == [(1, "HEAD")]
    assert on.clients[0].log == ["respond 200", "end"]
    assert on.destination.tally.retries == {"status_503": 1}
    assert nothing_is_taken(on)


def test_the_slot_of_a_retry_that_could_not_be_made_goes_to_who_waits_for_it_while_the_late_attempt_goes_on() -> None:
    two = ConcurrencyPolicy(limit=LimitKind.FIXED, initial=2, min_in_flight=2, max_in_flight=2)
    on = Stage(HTTP1, replace(GENEROUS, concurrency=two), connects_at_once=False)
    first = on.ask()
    on.connects[0].open()
    on.loop.advance(0.5)  # late: its retry has begun, and waits for a connection of its own
    second = on.ask()
    waited = on.destination.limiter.waiting and len(on.connects) == 2

    on.connects[1].open(OutOfFiles())

    assert waited
    assert not on.destination.limiter.waiting
    assert len(on.connects) == 3  # the second one's
    assert (first.log, second.log) == ([], [])
    assert on.destination.limiter.in_flight == 2


def test_a_write_that_is_late_gets_no_second_attempt_and_its_answer_is_delivered() -> None:
    on = Stage(MANY)
    client = on.ask(b"POST")
    on.loop.advance(1.0)

    frames_for(on, 1, 201)

    assert client.log == ["respond 201", "end"]
    assert sent_numbers(on) == [(1, "HEAD")]
    assert nothing_is_taken(on)
