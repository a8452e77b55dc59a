"""Which destination a request is for."""

import pytest
from msgspec.structs import replace

from sidecar.governance.documents.limits import WireLimits
from sidecar.net import AddressRange
from tests.fakes.house import house
from tests.fakes.names import NamingLoop
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
    assert b"no destination has the host paymnets; name it in the sidecar file. Known: payments" in answer
    assert origin.requests == []
    assert proxy.context.misdirected["unlisted"] == 1
    assert [(record.status, record.target) for record in proxy.notes.records] == [(502, "http://paymnets/")]


async def test_an_absolute_target_wins_over_host_and_is_sent_in_origin_form() -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        await proxy.send(b"GET http://payments/a?b=c HTTP/1.1\r\nHost: other\r\n\r\n", egress=True)

    assert origin.requests[0].line == "GET /a?b=c HTTP/1.1"
    assert origin.requests[0].header("host") == "payments"


async def test_an_unlisted_absolute_target_is_forwarded_under_its_own_state() -> None:
    async with Origin(replying(response(200))) as origin, house([1]) as proxy:
        answer = await proxy.send(b"GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % origin.port, egress=True)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert [route.name for route in proxy.unlisted.routes] == ["unlisted"]
    assert proxy.tally.requests_total == 0


async def test_unlisted_hosts_can_be_refused_altogether() -> None:
    async with Origin(replying(response(200))) as origin, house([1], forward_unlisted=False) as proxy:
        answer = await proxy.send(b"GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % origin.port, egress=True)

    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"no destination has the host 127.0.0.1:%d; unlisted hosts are refused" % origin.port in answer
    assert origin.requests == []


async def test_a_refusal_names_no_more_of_the_known_hosts_than_ten() -> None:
    hosts = {f"h{number:02}" + "x" * 100: "payments" for number in range(40)}
    async with house([1], hosts=hosts) as proxy:
        answer = await proxy.send(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % (b"y" * 200), egress=True)

    assert b"h09" in answer
    assert b"h10" not in answer
    assert b"and 30 more" in answer
    assert len(answer) < 1500


async def test_a_host_with_its_port_finds_its_destination_before_the_host_alone() -> None:
    async with Origin(replying(response(200))) as origin:
        hosts = {f"127.0.0.1:{origin.port}": "payments"}
        async with house([origin.port], hosts=hosts, forward_unlisted=False) as proxy:
            target = b"GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: x\r\n\r\n"
            by_target = await proxy.send(target % origin.port, egress=True)
            by_host = await proxy.send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % origin.port, egress=True)
            other = await proxy.send(target % 9, egress=True)

    assert by_target.startswith(b"HTTP/1.1 200 ")
    assert by_host.startswith(b"HTTP/1.1 200 ")
    assert other.startswith(b"HTTP/1.1 502 ")
    assert proxy.tally.requests_total == 2


@pytest.mark.parametrize("host", [b"payments.", b"PAYMENTS.", b"payments.:80"])
@pytest.mark.parametrize("absolute", [True, False])
async def test_a_dot_at_the_end_of_a_host_does_not_escape_its_destinations_policy(
    host: bytes, *, absolute: bool
) -> None:
    target = b"http://%b/" % host if absolute else b"/"
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        answer = await proxy.send(b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, host), egress=True)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert proxy.tally.requests_total == 1
    assert origin.requests[0].header("host") == host.decode()


@pytest.mark.parametrize("host", [b"[::ffff:7f00:1]", b"127.1", b"2130706433", b"localhost.", b"127.0.0.1."])
async def test_a_loop_is_refused_at_the_first_pass_in_every_spelling(host: bytes) -> None:
    async with house([1]) as proxy:
        port = proxy.egress.address.port
        forwarded = await proxy.send(b"GET http://%b:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % (host, port), egress=True)
        tunnelled = await proxy.send(b"CONNECT %b:%d HTTP/1.1\r\nHost: x\r\n\r\n" % (host, port), egress=True)

    assert forwarded.startswith(b"HTTP/1.1 508 ")
    assert tunnelled.startswith(b"HTTP/1.1 508 ")
    assert proxy.context.misdirected["loop"] == 2
    assert proxy.unlisted.routes == []


async def test_a_link_local_address_is_called_only_where_it_is_allowed() -> None:
    get = b"GET http://169.254.169.254:9/ HTTP/1.1\r\nHost: x\r\n\r\n"
    connect = b"CONNECT [::ffff:a9fe:a9fe]:9 HTTP/1.1\r\nHost: x\r\n\r\n"
    limits = replace(WireLimits(), connect_timeout=0.1)
    async with house([1]) as proxy:
        refused = [await proxy.send(data, egress=True) for data in (get, connect)]
    async with house([1], allowed=[AddressRange.parse("169.254.169.254")], limits=limits) as proxy:
        allowed = [await proxy.send(data, egress=True) for data in (get, connect)]

    for answer in refused:
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert b'"reason":"address_refused"' in answer
        assert b"Proxy-Status: sidecar; error=destination_ip_prohibited\r\n" in answer
    assert not any(b"address_refused" in answer for answer in allowed)


async def test_a_name_that_resolves_to_a_link_local_address_is_refused_and_held_against_nobody() -> None:
    async with house([1]) as proxy:
        proxy.context.loop = NamingLoop({"metadata.internal": [("169.254.169.254", 9)]})  # type: ignore[assignment]
        get = b"GET http://metadata.internal:9/ HTTP/1.1\r\nHost: x\r\n\r\n"
        answers = [await proxy.send(get, egress=True) for _ in range(12)]  # more than open a breaker
        answers.append(await proxy.send(b"CONNECT metadata.internal:9 HTTP/1.1\r\nHost: x\r\n\r\n", egress=True))
        [route] = proxy.unlisted.routes

    assert [answer[:13] for answer in answers] == [b"HTTP/1.1 403 "] * 13
    assert proxy.context.misdirected["address_refused"] == 13
    assert route.destination.tally.attempts_total == 0
    assert route.destination.limiter.in_flight == 0


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
