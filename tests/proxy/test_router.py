"""Which destination a request is for."""

from dataclasses import replace

from sidecar.engine.policy import RetryPolicy
from tests.fakes.house import GENEROUS, house
from tests.fakes.origin import Origin, replying, response


async def test_the_shared_port_finds_a_destination_by_host_with_or_without_port() -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        plain = await proxy.send(b"GET / HTTP/1.1\r\nHost: Payments\r\n\r\n", egress=True)
        ported = await proxy.send(b"GET / HTTP/1.1\r\nHost: payments:80\r\n\r\n", egress=True)

    assert plain.startswith(b"HTTP/1.1 200 ")
    assert ported.startswith(b"HTTP/1.1 200 ")
    assert origin.requests[0].header("host") == "Payments"


async def test_a_host_that_nobody_named_is_refused_so_that_a_typo_is_seen() -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        answer = await proxy.send(b"GET / HTTP/1.1\r\nHost: paymnets\r\n\r\n", egress=True)

    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b'"reason":"unlisted"' in answer
    assert origin.requests == []


async def test_an_absolute_target_wins_over_host_and_is_sent_in_origin_form() -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        await proxy.send(b"GET http://payments/a?b=c HTTP/1.1\r\nHost: other\r\n\r\n", egress=True)

    assert origin.requests[0].line == "GET /a?b=c HTTP/1.1"
    assert origin.requests[0].header("host") == "payments"


async def test_an_unlisted_absolute_target_is_forwarded_under_its_own_state() -> None:
    async with Origin(replying(response(200))) as origin, house([1]) as proxy:
        answer = await proxy.send(b"GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % origin.port, egress=True)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert [route.name for route in proxy.router.unlisted] == ["unlisted"]
    assert proxy.tally.requests_total == 0


async def test_of_unlisted_hosts_no_more_are_remembered_than_256_and_the_latest() -> None:
    once = replace(GENEROUS, retry=RetryPolicy(max_attempts=1))
    async with Origin(replying(response(200))) as origin, house([1], once) as proxy:
        for number in range(1, 260):
            answer = await proxy.send(
                b"GET http://127.0.%d.1:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % (number % 256, number), egress=True
            )
            assert answer.startswith(b"HTTP/1.1 502 ")
        latest = await proxy.send(b"GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % origin.port, egress=True)

    assert latest.startswith(b"HTTP/1.1 200 ")
    ports = [route.pool.endpoint.port for route in proxy.router.unlisted]
    assert ports == [*range(5, 260), origin.port]


async def test_unlisted_hosts_can_be_refused_altogether() -> None:
    async with Origin(replying(response(200))) as origin, house([1], forward_unlisted=False) as proxy:
        answer = await proxy.send(b"GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % origin.port, egress=True)

    assert answer.startswith(b"HTTP/1.1 502 ")
    assert origin.requests == []


async def test_a_request_that_would_come_back_is_a_508() -> None:
    async with house([1]) as proxy:
        target = b"http://127.0.0.1:%d/" % proxy.egress.address.port
        answer = await proxy.send(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n", egress=True)

    assert answer.startswith(b"HTTP/1.1 508 ")
    assert b'"reason":"loop"' in answer


async def test_a_host_that_only_names_the_sidecar_is_replaced_by_the_destinations_own() -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        await proxy.send(b"GET / HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % proxy.own.address.port)

    assert origin.requests[0].header("host") == f"127.0.0.1:{origin.port}"


async def test_a_target_that_is_no_http_url_is_refused() -> None:
    async with house([1]) as proxy:
        ftp = await proxy.send(b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", egress=True)
        user = await proxy.send(b"GET http://u:p@payments/ HTTP/1.1\r\nHost: a\r\n\r\n", egress=True)

    assert ftp.startswith(b"HTTP/1.1 400 ")
    assert user.startswith(b"HTTP/1.1 400 ")
