"""A second codec, many streams over one connection, driven by the real exchange and the real pool.

Nothing but the codec itself (`tests/fakes/multiplexed.py`) and its name in `Codecs` is new for it.
"""

from msgspec.structs import replace

from sidecar.engine.outcome import Result
from sidecar.engine.policy import BudgetPolicy
from sidecar.engine.verdict import Refusal
from sidecar.proxy.codecs import Codecs
from tests.fakes.house import GENEROUS
from tests.fakes.multiplexed import CAPACITY, Kind, Multiplexed, frame, frames
from tests.fakes.playbook import Stage

CODECS = Codecs(Multiplexed, {"many": Multiplexed})


def stage(**more: object) -> Stage:
    return Stage(CODECS, **more)  # type: ignore[arg-type]


def sent(on: Stage) -> list[tuple[int, Kind, bytes]]:
    """The frames that the endpoint got since the last time, on all connections."""
    return [one for transport in on.transports for one in frames(transport.take())]


def answer(on: Stage, *parts: bytes, connection: int = 0) -> None:
    made = {id(stream.connection): stream.connection for one in on.connections for stream in one.streams.values()}  # type: ignore[attr-defined]
    list(made.values())[connection].data_received(b"".join(parts))


def test_two_requests_share_a_connection_and_are_answered_in_any_order() -> None:
    on = stage()
    one, other = on.ask(path=b"/one"), on.ask(path=b"/other")

    answer(on, frame(2, Kind.HEAD, b"200\r\n"), frame(1, Kind.HEAD, b"201\r\n"))
    answer(on, frame(1, Kind.DATA, b"first"), frame(2, Kind.DATA, b"second"), frame(1, Kind.END), frame(2, Kind.END))

    assert len(on.transports) == 1
    assert [payload.partition(b"\r\n")[0] for _, kind, payload in sent(on) if kind is Kind.HEAD] == [
        b"GET /one",
        b"GET /other",
    ]
    assert (one.log, one.content) == (["respond 201", "end"], b"first")
    assert (other.log, other.content) == (["respond 200", "end"], b"second")
    assert on.destination.limiter.in_flight == on.pool.addresses[0].in_flight == 0


def test_a_stream_that_is_cancelled_takes_nothing_from_the_one_beside_it() -> None:
    on = stage()
    leaving, staying = on.ask(), on.ask()
    sent(on)
    assert leaving.exchange is not None

    leaving.exchange.on_client_gone()
    answer(on, frame(2, Kind.HEAD, b"200\r\n"), frame(2, Kind.END))

    assert sent(on) == [(1, Kind.CANCEL, b"")]
    assert staying.log == ["respond 200", "end"]
    assert not on.transports[0].is_closing()
    assert on.destination.tally.requests[Result.ABANDONED] == 1


def test_what_comes_for_a_cancelled_stream_is_nobodys() -> None:
    on = stage()
    leaving, staying = on.ask(), on.ask()
    assert leaving.exchange is not None
    leaving.exchange.on_client_gone()

    answer(on, frame(1, Kind.HEAD, b"200\r\n"), frame(1, Kind.END), frame(2, Kind.HEAD, b"204\r\n"), frame(2, Kind.END))

    assert leaving.log == []
    assert staying.log == ["respond 204", "end"]


def test_a_refused_stream_is_a_fault_before_anything_was_sent_so_a_write_is_sent_again() -> None:
    on = stage()
    client, beside = on.ask(b"POST"), on.ask()

    answer(on, frame(1, Kind.REFUSED))
    on.loop.advance(0.2)
    answer(on, frame(3, Kind.HEAD, b"201\r\n"), frame(3, Kind.END), frame(2, Kind.HEAD, b"200\r\n"), frame(2, Kind.END))

    assert client.log == ["respond 201", "end"]
    assert beside.log == ["respond 200", "end"]
    assert on.destination.tally.retries == {"reset": 1}
    assert len(on.transports) == 1


def test_a_stream_that_was_reset_may_have_been_executed_so_a_write_is_not_sent_again() -> None:
    on = stage()
    client = on.ask(b"POST")

    on.connections[0].connection_lost(None)  # type: ignore[attr-defined]

    assert client.log == ["refuse 502 reset"]
    assert b"x-sidecar-refusal: not_idempotent\r\n" in client.added


def test_a_verdict_at_the_trailers_of_an_answer_without_a_body_is_judged_before_anything_is_passed_on() -> None:
    on = stage()
    client = on.ask()

    answer(on, frame(1, Kind.HEAD, b"200\r\n"), frame(1, Kind.END, b"verdict: 503\r\n"))
    before = list(client.log)
    on.loop.advance(0.2)
    answer(on, frame(2, Kind.HEAD, b"200\r\n"), frame(2, Kind.END, b"verdict: 200\r\n"))

    assert before == []
    assert client.log == ["respond 200", "end"]
    assert client.trailers == b"verdict: 200\r\n"
    assert on.destination.tally.retries == {"status_503": 1}


def test_a_verdict_at_the_trailers_that_is_refused_a_retry_delivers_the_answer_as_it_came() -> None:
    on = stage(policy=replace(GENEROUS, budget=BudgetPolicy(ratio=0.0, min_retries=0)))
    client = on.ask()

    answer(on, frame(1, Kind.HEAD, b"200\r\nx: 1\r\n"), frame(1, Kind.END, b"verdict: 503\r\n"))

    assert client.log == ["respond 200", "end"]
    assert client.trailers == b"verdict: 503\r\n"
    assert b"x-sidecar-refusal: budget_exhausted\r\n" in client.added


def test_a_verdict_after_a_body_comes_too_late_for_a_retry_and_is_counted() -> None:
    on = stage()
    client = on.ask()

    answer(on, frame(1, Kind.HEAD, b"200\r\n"), frame(1, Kind.DATA, b"half"))
    during = on.destination.limiter.in_flight
    answer(on, frame(1, Kind.END, b"verdict: 503\r\n"))

    assert (client.log, client.content) == (["respond 200", "end"], b"half")
    assert during == 1
    assert on.destination.limiter.in_flight == 0
    assert on.destination.tally.attempts[0][Result.SERVER_ERROR] == 1
    assert on.destination.tally.refusals[Refusal.COMMITTED] == 1


def test_all_who_wait_for_a_connection_are_served_by_one_when_it_has_room_for_them() -> None:
    on = stage(connects_at_once=False)
    first = on.ask()
    on.connects[0].open()
    assert first.exchange is not None
    on.connections[0].connection_lost(None)  # type: ignore[attr-defined]
    clients = [on.ask() for _ in range(CAPACITY + 1)]

    opened = len(on.connects) - 2  # the first request has asked for one more, for its retry has not left yet
    for gate in on.connects[1:]:
        gate.open()

    assert opened <= 1
    assert sum(client.exchange.phase.name == "SENT" for client in clients if client.exchange) == CAPACITY + 1


def test_over_its_capacity_another_connection_is_opened() -> None:
    on = stage()

    clients = [on.ask() for _ in range(CAPACITY + 1)]

    assert len(on.transports) == 2
    assert all(client.log == [] for client in clients)
    assert on.pool.addresses[0].in_flight == CAPACITY + 1


def test_a_connection_that_cannot_be_had_is_told_to_each_that_waited_for_it() -> None:
    once = replace(GENEROUS, retry=replace(GENEROUS.retry, max_attempts=1))
    on = stage(policy=once, connects_at_once=False)
    clients = [on.ask() for _ in range(3)]

    for gate in on.connects:
        gate.open(ConnectionRefusedError())

    assert [client.log for client in clients] == [["refuse 502 connect_failure"]] * 3
    assert on.pool.addresses[0].in_flight == 0
