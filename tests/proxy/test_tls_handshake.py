"""The ingress listener: in TLS and in clear, on real sockets and on the loop the proxy runs on."""

import asyncio
import gc
import socket
import ssl
import weakref

import pytest
from msgspec.structs import replace

from sidecar.engine.outcome import Result
from sidecar.governance.documents.limits import WireLimits
from sidecar.governance.documents.tls_version import TlsVersion
from sidecar.governance.policy.ingress import INGRESS_BASELINE
from sidecar.governance.policy.tls import Termination
from sidecar.governance.trust.certificates import CertificateFiles, Certificates
from sidecar.proxy.codecs import HTTP1
from sidecar.proxy.tls import ClientTls, ServerTls, client_context, terminating
from tests.fakes.certificates import HOST, authority, certificate, server_context
from tests.fakes.files import no_file_left
from tests.fakes.house import House, house, read_response
from tests.fakes.loops import on_uvloop
from tests.fakes.origin import Origin, Request, hanging_up, replying, response

GET = b"GET /x HTTP/1.1\r\nHost: checkout.example\r\n\r\n"
POLICY = INGRESS_BASELINE.policy
MIB = 1 << 20


def shown(host: str = HOST, *, client_ca: str | None = None, min_version: str = "1.2") -> ServerTls:
    leaf = certificate(host)
    pem = Certificates(
        ca=None if client_ca is None else authority(client_ca).cert_pem.bytes(),
        cert=b"".join(blob.bytes() for blob in leaf.cert_chain_pems),
        key=leaf.private_key_pem.bytes(),
    )
    return terminating(Termination(CertificateFiles(), TlsVersion(min_version)), pem)


def caller_context(shown_by: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority().configure_trust(context)
    if shown_by is not None:
        certificate("caller", by=shown_by).configure_cert(context)
    return context


async def call(proxy: House, data: bytes, context: ssl.SSLContext | None = None) -> bytes:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1",
        proxy.own.address.port,
        ssl=context or caller_context(),
        server_hostname=HOST,
        limit=4 * MIB,
    )
    try:
        writer.write(data)
        return await asyncio.wait_for(read_response(reader), 8)
    finally:
        writer.close()


@pytest.mark.parametrize("secure", [False, True])
@on_uvloop
async def test_the_service_is_told_who_asked_and_by_what_name(*, secure: bool) -> None:
    async with Origin(replying(response(200))) as app:
        async with house([app.port], POLICY, ingress=True, ingress_tls=shown() if secure else None) as proxy:
            answer = await (call(proxy, GET) if secure else proxy.send(GET))
            local = GET.replace(b"checkout.example", b"127.0.0.1:16006\r\nX-Forwarded-For: 9.9.9.9")
            await (call(proxy, local) if secure else proxy.send(local))

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert [request.header("host") for request in app.requests] == ["checkout.example", "127.0.0.1:16006"]
    assert [request.header("x-forwarded-for") for request in app.requests] == ["127.0.0.1", "9.9.9.9, 127.0.0.1"]
    assert {request.header("x-forwarded-proto") for request in app.requests} == {"https" if secure else "http"}


async def test_on_the_egress_nobody_is_told_who_asked() -> None:
    async with Origin(replying(response(200))) as origin, house([origin.port]) as proxy:
        await proxy.send(GET)

    assert origin.requests[0].header("x-forwarded-for") is None
    assert origin.requests[0].header("x-forwarded-proto") is None


@on_uvloop
async def test_a_connection_in_tls_serves_one_request_after_another_and_large_bodies() -> None:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(response(200, request.body))

    body = bytes(range(256)) * (MIB // 256)
    async with Origin(answer) as app, house([app.port], POLICY, ingress=True, ingress_tls=shown()) as proxy:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", proxy.own.address.port, ssl=caller_context(), server_hostname=HOST, limit=4 * MIB
        )
        got = []
        for _ in range(3):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % MIB + body)
            got.append(await read_response(reader))
        protocol = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        connections = proxy.context.connections
        writer.close()
        while proxy.context.connections:
            await asyncio.sleep(0.01)

    assert all(one.endswith(body) for one in got)
    assert protocol is None  # not offered by this client
    assert connections == 1
    assert app.connections == 1


@on_uvloop
async def test_http_1_1_is_what_is_agreed_on() -> None:
    context = caller_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with Origin(replying(response(200))) as app:
        async with house([app.port], POLICY, ingress=True, ingress_tls=shown()) as proxy:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", proxy.own.address.port, ssl=context, server_hostname=HOST
            )
            protocol = writer.get_extra_info("ssl_object").selected_alpn_protocol()
            writer.close()

    assert protocol == "http/1.1"


@pytest.mark.parametrize(
    ("shown_by", "reason", "alert"),
    [
        (None, "tls_client_certificate", "TLSV13_ALERT_CERTIFICATE_REQUIRED"),
        ("theirs", "tls_unknown_ca", "TLSV1_ALERT_UNKNOWN_CA"),
        ("ours", None, None),
    ],
)
@on_uvloop
async def test_callers_must_show_a_certificate_where_that_is_asked_and_are_told(
    shown_by: str | None, reason: str | None, alert: str | None
) -> None:
    heard = None
    async with Origin(replying(response(200))) as app:
        async with house([app.port], POLICY, ingress=True, ingress_tls=shown(client_ca="ours")) as proxy:
            try:
                answer = await call(proxy, GET, caller_context(shown_by))
            except ssl.SSLError as error:
                answer, heard = b"", error.reason
            while proxy.context.connections:
                await asyncio.sleep(0.01)

    assert answer.startswith(b"HTTP/1.1 200 ") == (reason is None)
    assert len(app.requests) == (reason is None)
    assert proxy.context.handshake_failures == ({} if reason is None else {reason: 1})
    assert heard == alert


@on_uvloop
async def test_what_is_no_tls_and_what_is_too_old_is_told_and_counted_apart() -> None:
    old = caller_context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with Origin(replying(response(200))) as app:
        async with house([app.port], POLICY, ingress=True, ingress_tls=shown(min_version="1.3")) as proxy:
            plain = await proxy.send(GET, until_close=True)
            with pytest.raises(ssl.SSLError) as caught:
                await call(proxy, GET, old)
            while proxy.context.connections:
                await asyncio.sleep(0.01)

    assert app.requests == []
    assert proxy.context.handshake_failures == {"tls_not_tls": 1, "tls_version": 1}
    assert plain.startswith(b"HTTP/1.1 400 ")
    assert b"this port speaks TLS" in plain
    assert caught.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"


@on_uvloop
async def test_a_handshake_that_is_never_finished_takes_a_place_for_as_long_as_a_head_may_take() -> None:
    limits = replace(WireLimits(), connections=2, head_timeout=0.4)
    async with Origin(replying(response(200))) as app:
        async with house([app.port], POLICY, ingress=True, ingress_tls=shown(), limits=limits) as proxy:
            address = ("127.0.0.1", proxy.own.address.port)
            silent = [socket.create_connection(address) for _ in range(2)]
            while proxy.context.connections < 2:
                await asyncio.sleep(0.01)
            began = asyncio.get_running_loop().time()
            answer = await call(proxy, GET)  # the third waits until one of them has been given up
            took = asyncio.get_running_loop().time() - began
            for sock in silent:
                sock.close()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert took > 0.2
    assert proxy.context.handshake_failures["tls_timeout"] >= 1


@on_uvloop
async def test_another_certificate_is_shown_from_the_next_connection_on() -> None:
    async with Origin(replying(response(200))) as app:
        async with house([app.port], POLICY, ingress=True, ingress_tls=shown("old.example")) as proxy:
            before = await _name_shown(proxy)
            proxy.own.tls = shown("new.example")
            after = await _name_shown(proxy)

    assert (before, after) == ("old.example", "new.example")


async def _name_shown(proxy: House) -> object:
    context = caller_context()
    context.check_hostname = False
    _, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port, ssl=context, server_hostname="x")
    names = writer.get_extra_info("peercert")["subjectAltName"]
    writer.close()
    return names[0][1]


@on_uvloop
async def test_an_answer_of_the_service_is_its_own_and_is_not_asked_for_twice() -> None:
    async with Origin(replying(response(503, b"sorry"), response(200))) as app:
        async with house([app.port], POLICY, ingress=True) as proxy:
            answer = await proxy.send(GET)

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert answer.endswith(b"sorry")
    assert len(app.requests) == 1


@on_uvloop
async def test_what_the_service_may_have_seen_is_not_repeated() -> None:
    async with Origin(hanging_up) as app, house([app.port], POLICY, ingress=True) as proxy:
        answer = await proxy.send(GET)

    assert answer.startswith(b"HTTP/1.1 502 ")
    assert len(app.requests) == 1


@on_uvloop
async def test_a_service_that_is_restarting_is_asked_again_even_for_a_write() -> None:
    slow = replace(POLICY, retry=replace(POLICY.retry, backoff=replace(POLICY.retry.backoff, base=0.4, max=0.4)))
    app = Origin(replying(response(200)))
    async with app:
        pass
    async with house([app.port], slow, ingress=True) as proxy:
        asking = asyncio.create_task(proxy.send(GET.replace(b"GET", b"POST")))
        while not proxy.tally.connect_failures:
            await asyncio.sleep(0.005)
        async with app:
            answer = await asking

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert proxy.tally.retries["connect_failure"] >= 1
    assert proxy.tally.requests[Result.SUCCESS] == 1


@on_uvloop
async def test_a_service_that_is_down_is_neither_broken_off_from_nor_hammered() -> None:
    app = Origin(replying(response(200)))
    async with app:
        pass
    async with house([app.port], POLICY, ingress=True) as proxy:
        answers = [await proxy.send(GET) for _ in range(30)]

    assert all(answer.startswith(b"HTTP/1.1 502 ") for answer in answers)  # never 503 breaker_open
    assert sum(proxy.tally.retries.values()) <= 0.1 * 30 + 3 + 1


@on_uvloop
async def test_the_ingress_is_no_way_out() -> None:
    async with Origin(replying(response(200))) as app, Origin(replying(response(200))) as elsewhere:
        async with house([app.port], POLICY, ingress=True) as proxy:
            tunnel = await proxy.send(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: a\r\n\r\n" % elsewhere.port)
            target = b"GET http://127.0.0.1:%d/x HTTP/1.1\r\nHost: a\r\n\r\n" % elsewhere.port
            absolute = await proxy.send(target)

    assert tunnel.startswith(b"HTTP/1.1 405 ")
    assert absolute.startswith(b"HTTP/1.1 200 ")
    assert elsewhere.requests == []
    assert [request.line for request in app.requests] == ["GET /x HTTP/1.1"]


@on_uvloop
async def test_an_answer_that_breaks_off_is_broken_off_in_tls_too() -> None:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()

    async with Origin(answer) as app, house([app.port], POLICY, ingress=True, ingress_tls=shown()) as proxy:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", proxy.own.address.port, ssl=caller_context(), server_hostname=HOST
        )
        writer.write(GET)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


@on_uvloop
async def test_a_refusal_in_tls_comes_whole_though_the_body_is_never_read() -> None:
    limits = replace(WireLimits(), body_bytes=10)
    async with Origin(replying(response(200))) as app:
        async with house([app.port], POLICY, ingress=True, ingress_tls=shown(), limits=limits) as proxy:
            answer = await call(proxy, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100000)
            while proxy.context.connections:
                await asyncio.sleep(0.01)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert app.requests == []


@pytest.mark.parametrize("secure", [False, True])
@on_uvloop
async def test_a_connection_that_is_gone_is_freed_at_once_and_not_when_somebody_collects(*, secure: bool) -> None:
    """In TLS each holds some 50 KB: 2,500 of them in a second of a busy ingress would be 125 MB of nothing."""
    async with Origin(replying(response(200))) as app:
        async with house([app.port], POLICY, ingress=True, ingress_tls=shown() if secure else None) as proxy:
            gc.collect()
            gc.disable()
            try:
                _, writer = await asyncio.open_connection(
                    "127.0.0.1",
                    proxy.own.address.port,
                    ssl=caller_context() if secure else None,
                    server_hostname=HOST if secure else None,
                )
                while not proxy.own._downstreams:
                    await asyncio.sleep(0)
                connection = weakref.ref(next(iter(proxy.own._downstreams)))
                writer.close()
                while proxy.context.connections:
                    await asyncio.sleep(0.001)
                for _ in range(5):
                    await asyncio.sleep(0)
                left = connection()
            finally:
                gc.enable()

    assert left is None


@on_uvloop
async def test_a_caller_in_tls_who_does_not_read_holds_the_service_back() -> None:
    written = 0

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
        for _ in range(64):
            writer.write(b"x" * MIB)
            await writer.drain()
            written += MIB

    async with Origin(answer) as app, house([app.port], POLICY, ingress=True, ingress_tls=shown()) as proxy:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", proxy.own.address.port, ssl=caller_context(), server_hostname=HOST, limit=65536
        )
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        before = -1
        while written != before:  # until nothing moves any more
            before = written
            await asyncio.sleep(0.2)
        stalled = written
        rest = 64 * MIB
        while rest:
            rest -= len(await reader.read(MIB))
        writer.close()

    assert stalled < 32 * MIB
    assert written == 64 * MIB


@on_uvloop
async def test_a_websocket_passes_through_tls_on_both_sides() -> None:
    async def echo(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello")
        writer.write(await streams[0].readexactly(5))

    streams: list[asyncio.StreamReader] = []

    class Echo(Origin):
        async def _read(self, reader: asyncio.StreamReader) -> Request:
            streams.append(reader)
            return await super()._read(reader)

    context = client_context(HTTP1.alpn)
    authority().configure_trust(context)
    async with Echo(echo, server_context()) as app:
        async with house(
            [app.port], POLICY, ingress=True, ingress_tls=shown(), tls=ClientTls(context), host=HOST
        ) as proxy:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", proxy.own.address.port, ssl=caller_context(), server_hostname=HOST
            )
            upgrade = b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            writer.write(b"GET /chat HTTP/1.1\r\nHost: a\r\n" + upgrade + b"Sec-WebSocket-Version: 13\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            handshake = await reader.readexactly(5)
            writer.write(b"there")
            answer = await asyncio.wait_for(reader.readexactly(5), 5)
            writer.close()
            while proxy.context.busy or proxy.context.connections:
                await asyncio.sleep(0.01)

    assert head.startswith(b"HTTP/1.1 101 ")
    assert (handshake, answer) == (b"hello", b"there")


@on_uvloop
async def test_the_same_bytes_of_two_callers_are_told_apart() -> None:
    async with Origin(replying(response(200))) as app, house([app.port], POLICY, ingress=True) as proxy:
        for address in ("127.0.0.1", "127.0.0.2", "127.0.0.1"):
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port, local_addr=(address, 0))
            writer.write(GET)
            await read_response(reader)
            writer.close()

    told = [request.header("x-forwarded-for") for request in app.requests]
    assert told == ["127.0.0.1", "127.0.0.2", "127.0.0.1"]


@on_uvloop
async def test_a_listener_that_can_not_open_files_for_a_while_serves_again_when_it_can() -> None:
    async with Origin(replying(response(200))) as app:
        async with house([app.port], POLICY, ingress=True, ingress_tls=shown()) as proxy:
            waiting = socket.socket()
            waiting.setblocking(False)
            with no_file_left():
                waiting.connect_ex(("127.0.0.1", proxy.own.address.port))
                await asyncio.sleep(0.2)
            answer = await call(proxy, GET)
            waiting.close()

    assert answer.startswith(b"HTTP/1.1 200 ")


@on_uvloop
async def test_a_listener_in_clear_speaks_tls_from_the_reload_on_that_says_so() -> None:
    async with Origin(replying(response(200))) as app, house([app.port], POLICY, ingress=True) as proxy:
        before = await proxy.send(GET)
        proxy.own.turn_to(proxy.router, proxy.route, connect=False, ingress=True, tls=shown())
        after = await call(proxy, GET)

    assert before.startswith(b"HTTP/1.1 200 ")
    assert after.startswith(b"HTTP/1.1 200 ")
