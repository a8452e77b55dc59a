"""A dry run on real sockets: the candidate is asked, and nothing else happens."""

from msgspec.structs import replace

from sidecar.engine.policy import RetryPolicy
from sidecar.engine.shadow import Shadow
from tests.fakes.house import GENEROUS, House, house
from tests.fakes.origin import Origin, replying, response

GET = b"GET / HTTP/1.1\r\nHost: payments\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: payments\r\nContent-Length: 2\r\n\r\nhi"


def try_out(running: House, **changes: object) -> Shadow:
    policy = replace(GENEROUS, retry=replace(RetryPolicy(), **changes))  # type: ignore[arg-type]
    shadow = running.route.shadow = Shadow(running.destination, policy, lambda: 0.0, running.context.clock())
    return shadow


def found(shadow: Shadow) -> dict[str, int]:
    return {difference.value: count for difference, count in shadow.differences.items() if count}


async def test_a_candidate_that_would_retry_less_is_counted_and_not_obeyed() -> None:
    async with Origin(replying(response(503), response(200))) as origin, house([origin.port]) as running:
        shadow = try_out(running, max_attempts=1)

        answer = await running.send(GET)

    assert answer.startswith(b"HTTP/1.1 200")
    assert len(origin.requests) == 2
    assert found(shadow) == {"no_retry": 1}


async def test_a_candidate_that_would_retry_more_is_counted_and_not_obeyed() -> None:
    async with Origin(replying(response(502), response(200))) as origin, house([origin.port]) as running:
        shadow = try_out(running, statuses=frozenset({502, 503}))

        answer = await running.send(GET)

    assert answer.startswith(b"HTTP/1.1 502")
    assert len(origin.requests) == 1
    assert found(shadow) == {"retry": 1}


async def test_what_both_refuse_for_the_same_reason_is_no_difference() -> None:
    async with Origin(replying(response(503))) as origin, house([origin.port]) as running:
        shadow = try_out(running, max_attempts=1)

        await running.send(POST)

    assert len(origin.requests) == 1
    assert found(shadow) == {}
    assert shadow.compared == 2


async def test_methods_of_the_candidate_decide_what_it_would_repeat() -> None:
    async with Origin(replying(response(503), response(200))) as origin, house([origin.port]) as running:
        shadow = try_out(running, methods=frozenset({"HEAD"}))

        await running.send(GET)

    assert len(origin.requests) == 2
    assert found(shadow) == {"no_retry": 1}


async def test_without_a_candidate_an_exchange_is_a_plain_one() -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as running:
        shadow = try_out(running)
        running.route.shadow = None

        await running.send(GET)

    assert shadow.compared == 0
    assert running.tally.requests_total == 1
    assert len(origin.requests) == 1


async def test_a_shadow_holds_no_place_when_all_is_over() -> None:
    async with Origin(replying(response(503), response(503), response(200))) as origin:
        async with house([origin.port]) as running:
            shadow = try_out(running, max_attempts=2)
            for _ in range(5):
                await running.send(GET)

    assert shadow.destination.limiter.in_flight == 0
    assert running.destination.limiter.in_flight == 0
