"""The answer of an exchange on its way: held, delivered, broken off, or one of the sidecar's own."""

import pytest
from msgspec.structs import replace

from sidecar.engine.policy import BreakerPolicy, BudgetPolicy, ConcurrencyPolicy, LimitKind, RetryPolicy
from sidecar.engine.verdict import Refusal
from sidecar.proxy.codecs import HTTP1
from sidecar.proxy.held_answer import HELD_BYTES
from sidecar.proxy.read_gate import ReadGate
from tests.fakes.house import GENEROUS
from tests.fakes.origin import response
from tests.fakes.playbook import Stage

HELD = b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\nRetry-After: 1\r\n\r\n"
HALF = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
ONCE = RetryPolicy(max_attempts=1)


def test_a_held_answer_is_not_let_flow_by_its_client_that_drains_something_older() -> None:
    on = Stage(HTTP1)
    client = on.ask()
    upstream = on.http1
    upstream.data_received(HELD.replace(b"Retry-After: 1\r\n", b"") + b"5\r\nhello\r\n")
    assert client.exchange is not None

    client.exchange.on_client_full()
    client.exchange.on_client_drained()

    assert upstream.read_gate.held


def test_of_an_answer_that_is_held_nothing_more_is_read() -> None:
    on = Stage(HTTP1)
    on.ask()

    on.http1.data_received(HELD + b"5\r\nhello\r\n")

    assert on.transports[0].paused


def test_a_held_answer_that_grows_beyond_its_bound_is_let_go() -> None:
    on = Stage(HTTP1)
    client = on.ask()
    upstream = on.http1
    upstream.data_received(HELD)
    for _ in range(HELD_BYTES // 65536 + 1):
        upstream.data_received(b"10000\r\n" + b"x" * 65536 + b"\r\n")
    on.destination.draining = True
    on.loop.advance(2.0)

    assert on.transports[0].aborted
    assert client.log == ["refuse 502 reset"]


def test_a_held_answer_is_delivered_whole_when_its_retry_may_not_leave() -> None:
    on = Stage(HTTP1)
    client = on.ask()
    upstream = on.http1
    upstream.data_received(HELD + b"5\r\nhello\r\n")
    on.destination.draining = True

    on.loop.advance(2.0)
    upstream.data_received(b"6\r\n again\r\n0\r\n\r\n")

    assert (client.log, client.content) == (["respond 503", "end"], b"hello again")
    assert b"x-sidecar-refusal: draining\r\n" in client.added
    assert not on.transports[0].paused


def test_nonsense_in_a_held_answer_is_a_fault_when_no_retry_leaves() -> None:
    on = Stage(HTTP1)
    client = on.ask()

    on.http1.data_received(HELD + b"zz\r\n")
    on.destination.draining = True
    on.loop.advance(2.0)

    assert client.log == ["refuse 502 protocol"]
    assert b"x-sidecar-refusal: draining\r\n" in client.added


def test_an_answer_is_judged_once_and_relayed_as_it_comes() -> None:
    on = Stage(HTTP1)
    client = on.ask()

    on.http1.data_received(HALF)
    during = list(client.log)
    on.http1.data_received(b"1\r\n!\r\n0\r\nx: y\r\n\r\n")

    assert during == ["respond 200"]
    assert (client.log, client.content, client.trailers) == (["respond 200", "end"], b"hello!", b"x: y\r\n")


def test_an_interim_answer_is_passed_on_and_ends_nothing() -> None:
    on = Stage(HTTP1)
    client = on.ask()

    on.http1.data_received(b"HTTP/1.1 103 Early\r\n\r\n" + response(200))

    assert client.log == ["interim 103", "respond 200", "end"]


def test_a_slow_client_holds_back_its_own_answer_and_lets_it_flow_again() -> None:
    on = Stage(HTTP1)
    client = on.ask()
    upstream = on.http1
    upstream.data_received(HALF)
    assert client.exchange is not None

    client.exchange.on_client_full()
    held = upstream.read_gate.held
    client.exchange.on_client_drained()

    assert held == ReadGate.PEER
    assert not upstream.read_gate.held


@pytest.mark.parametrize("ending", ["silence", "loss", "nonsense"])
def test_an_answer_that_breaks_off_is_never_a_clean_end(ending: str) -> None:
    on = Stage(HTTP1)
    client = on.ask()
    upstream = on.http1
    upstream.data_received(HALF)

    if ending == "silence":
        on.loop.advance(GENEROUS.idle_timeout + 0.1)
    elif ending == "loss":
        upstream.connection_lost(None)
    else:
        upstream.data_received(b"zz\r\n")

    assert client.log == ["respond 200", "reset"]
    assert on.destination.tally.refusals[Refusal.COMMITTED] == 1
    assert on.context.busy == 0


def test_the_time_out_of_the_whole_exchange_names_its_limit() -> None:
    on = Stage(HTTP1, replace(GENEROUS, timeout=0.4, per_attempt_timeout=0.2))
    client = on.ask(b"POST")

    on.loop.advance(0.39)
    before = list(client.log)
    on.loop.advance(0.1)

    assert before == []
    assert client.log == ["refuse 504 timeout"]
    assert client.problems[0].limit == "timeout 0.4s"
    assert on.destination.limiter.in_flight == 0


def test_an_open_breaker_says_when_to_come_again() -> None:
    breaker = BreakerPolicy(consecutive_failures=1, open=5.0, max_open=5.0)
    on = Stage(HTTP1, replace(GENEROUS, retry=ONCE, breaker=breaker))
    on.ask()
    on.http1.data_received(response(503))

    client = on.ask()
    on.loop.advance(1.0)

    assert client.log == ["refuse 503 breaker_open"]
    assert b"Retry-After: 5\r\n" in client.added
    assert b"x-sidecar-attempts" not in client.added
    assert client.problems[0].limit.startswith("breaker.hold ")


def test_a_refusal_for_want_of_a_slot_names_the_limit() -> None:
    one = ConcurrencyPolicy(limit=LimitKind.FIXED, initial=1, min_in_flight=1, max_in_flight=1)
    on = Stage(HTTP1, replace(GENEROUS, timeout=0.4, concurrency=one))
    on.ask()

    client = on.ask()
    on.loop.advance(0.5)

    assert client.log == ["refuse 503 concurrency_limit"]
    assert client.problems[0].limit == "in flight 1"


def test_a_retry_that_is_refused_is_told_of_beside_the_answer() -> None:
    on = Stage(HTTP1, replace(GENEROUS, budget=BudgetPolicy(ratio=0.0, min_retries=0)))
    client = on.ask()

    on.http1.data_received(response(503))

    assert client.log == ["respond 503", "end"]
    assert b"x-sidecar-attempts: 1\r\nx-sidecar-refusal: budget_exhausted\r\n" in client.added
