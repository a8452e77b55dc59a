"""TLS towards endpoints, on real sockets and on the loop the proxy runs on."""

import asyncio
import json
import socket
import ssl
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from msgspec.structs import replace

from sidecar.engine.outcome import Result
from sidecar.engine.policy import RetryPolicy
from sidecar.governance.documents.limits import WireLimits
from sidecar.governance.policy.tls import USUAL
from sidecar.governance.trust.certificates import Certificates
from sidecar.proxy.codecs import HTTP1
from sidecar.proxy.tls import ClientTls, client_context, failure_of, originating, refused_late
from sidecar.wire.handshake import HandshakeFailure
from tests.fakes.certificates import HOST, authority, certificate, server_context
from tests.fakes.house import GENEROUS, house
from tests.fakes.loops import on_uvloop
from tests.fakes.origin import Origin, Request, replying, response
from tests.fakes.peer import peer, read_head
from tests.fakes.tls_alert import ACCESS_DENIED, BAD_CERTIFICATE, CERTIFICATE_REQUIRED, log_keys, send_alert

GET = b"GET /x HTTP/1.1\r\nHost: payments\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: payments\r\nContent-Length: 3\r\n\r\nabc"
ONCE = replace(GENEROUS, retry=RetryPolicy(max_attempts=1))
OLD = ssl.TLSVersion.TLSv1_2
MIB = 1 << 20


def trusting(by: str = "ours", *, shown: trustme.LeafCert | None = None) -> ClientTls:
    context = client_context(HTTP1.alpn)
    authority(by).configure_trust(context)
    if shown is not None:
        shown.configure_cert(context)
    return ClientTls(context)


def reason_of(answer: bytes) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 502 ")
    assert b"application/problem+json" in head
    problem = json.loads(body)
    assert problem["type"] == f"urn:retry-sidecar:problem:{problem['reason']}"
    assert problem["destination"] == "payments"
    return str(problem["reason"])


def ok(sock: socket.socket) -> None:
    read_head(sock)
    sock.sendall(response(200))


def plain_http(sock: socket.socket) -> None:
    sock.recv(1000)
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def silent(sock: socket.socket) -> None:
    while sock.recv(1000):
        pass


def closing(sock: socket.socket) -> None:
    sock.recv(1000)


def self_signed() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own = trustme.CA(organization_name="own", path_length=None)
    with own.private_key_pem.tempfile() as key, own.cert_pem.tempfile() as cert:
        context.load_cert_chain(cert, key)
    return context


def with_root_in_chain() -> ssl.SSLContext:
    leaf = certificate(by="theirs")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems) + authority("theirs").cert_pem.bytes()
    with leaf.private_key_pem.tempfile() as key, trustme.Blob(chain).tempfile() as cert:
        context.load_cert_chain(cert, key)
    return context


def speaking_too_old() -> ssl.SSLContext:
    context = server_context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # for what the test is about
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def refusing_http_1() -> ssl.SSLContext:
    """OpenSSL as a server that finds no protocol in common goes on without; most others send this alert instead."""
    return server_context(alpn=("h2",))


FAILING: list[tuple[str, Callable[[], ssl.SSLContext | None], Callable[[socket.socket], None]]] = [
    ("tls_hostname", lambda: server_context(certificate("elsewhere.example")), ok),
    ("tls_expired", lambda: server_context(certificate(ends=2020)), ok),
    ("tls_not_yet_valid", lambda: server_context(certificate(begins=2090)), ok),
    ("tls_unknown_ca", lambda: server_context(certificate(by="theirs")), ok),
    ("tls_unknown_ca", with_root_in_chain, ok),
    ("tls_self_signed", self_signed, ok),
    ("tls_client_certificate", lambda: server_context(client_ca="ours"), ok),
    ("tls_client_certificate", lambda: server_context(client_ca="ours", newest=OLD), ok),
    ("tls_version", speaking_too_old, ok),
    ("tls_not_tls", lambda: None, plain_http),
    ("tls_timeout", lambda: None, silent),
    ("tls_handshake", lambda: None, closing),
]


@pytest.mark.parametrize(("reason", "context", "talk"), FAILING)
@on_uvloop
async def test_each_handshake_that_fails_is_a_502_with_a_reason_of_its_own(
    reason: str, context: Callable[[], ssl.SSLContext | None], talk: Callable[[socket.socket], None]
) -> None:
    with peer(talk, context()) as port:
        async with house([port], ONCE, tls=trusting(), host=HOST) as proxy:
            answer = await proxy.send(POST)

    assert reason_of(answer) == reason
    assert proxy.tally.connect_failures == {reason: 1}
    assert proxy.tally.requests[Result.FAULT] == 1
    assert [attempt.outcome for attempt in proxy.notes.records[0].attempts] == [reason]
    assert proxy.destination.limiter.in_flight == 0


@pytest.mark.parametrize("given", [False, True], ids=["the system's", "a given authority instead"])
@on_uvloop
async def test_the_systems_authorities_are_trusted_where_none_is_given_and_only_there(
    given: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = tmp_path / "system.pem"
    system.write_bytes(authority("ours").cert_pem.bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(system))  # where OpenSSL looks for them
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    tls = originating(USUAL, Certificates(ca=authority("theirs").cert_pem.bytes() if given else None), HTTP1.alpn)

    async with Origin(replying(response(200)), server_context()) as origin:
        async with house([origin.port], ONCE, tls=tls, host=HOST) as proxy:
            answer = await proxy.send(GET)

    if given:
        assert reason_of(answer) == "tls_unknown_ca"
    else:
        assert answer.startswith(b"HTTP/1.1 200 ")


@on_uvloop
async def test_the_versions_below_the_destinations_own_minimum_are_not_spoken() -> None:
    tls = trusting()
    tls.context.minimum_version = ssl.TLSVersion.TLSv1_3

    with peer(ok, server_context(newest=OLD)) as port:
        async with house([port], ONCE, tls=tls, host=HOST) as proxy:
            answer = await proxy.send(GET)

    assert reason_of(answer) == "tls_version"


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@on_uvloop
async def test_a_client_certificate_that_the_endpoint_does_not_trust_is_told_of(newest: ssl.TLSVersion) -> None:
    with peer(ok, server_context(client_ca="ours", newest=newest)) as port:
        shown = certificate("checkout", by="theirs")
        async with house([port], ONCE, tls=trusting(shown=shown), host=HOST) as proxy:
            answer = await proxy.send(GET)

    assert reason_of(answer) == "tls_client_certificate"


@pytest.mark.parametrize(
    "context",
    [lambda: server_context(certificate(ends=2020)), lambda: server_context(client_ca="ours", newest=OLD)],
    ids=["expired", "client certificate demanded in TLS 1.2"],
)
@on_uvloop
async def test_a_write_whose_handshake_failed_was_not_sent_and_goes_to_another_endpoint(
    context: Callable[[], ssl.SSLContext],
) -> None:
    async with Origin(replying(response(200)), server_context()) as origin:
        with peer(ok, context()) as bad:
            async with house([bad, origin.port], tls=replace(trusting(), server_name=HOST)) as proxy:
                proxy.route.pool.addresses[1].in_flight = 1  # the bad one is tried first
                answer = await proxy.send(POST)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert [request.body for request in origin.requests] == [b"abc"]
    assert proxy.tally.retries == {"connect_failure": 1}
    assert sum(proxy.tally.connect_failures.values()) == 1


@pytest.mark.parametrize("description", [CERTIFICATE_REQUIRED, BAD_CERTIFICATE, ACCESS_DENIED])
def test_an_alert_after_the_request_was_read_does_not_make_a_write_unsent(tmp_path: Path, description: int) -> None:
    answer, executed, origin = _told_late(POST, tmp_path / "keys", description)

    assert reason_of(answer) == "tls_client_certificate"
    assert b"may have been executed" in answer
    assert len(executed) == 1
    assert origin.requests == []


def test_an_alert_after_the_handshake_sends_a_read_to_another_endpoint(tmp_path: Path) -> None:
    answer, executed, origin = _told_late(GET, tmp_path / "keys", CERTIFICATE_REQUIRED)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert len(executed) == len(origin.requests) == 1


def _told_late(request: bytes, keys: Path, description: int) -> tuple[bytes, list[bytes], Origin]:
    """What comes of a request that goes first to an endpoint which reads it and then refuses our certificate."""
    context = server_context(client_ca="ours")
    log_keys(context, keys)
    executed: list[bytes] = []
    origin = Origin(replying(response(200)), server_context())

    def talk(sock: socket.socket) -> None:
        executed.append(read_head(sock))
        assert isinstance(sock, ssl.SSLSocket)
        send_alert(sock, keys, description)

    @on_uvloop
    async def send() -> bytes:
        tls = replace(trusting(shown=certificate("checkout")), server_name=HOST)
        async with origin:
            with peer(talk, context) as late:
                async with house([late, origin.port], tls=tls) as home:
                    home.route.pool.addresses[1].in_flight = 1  # the late one is tried first
                    return await home.send(request)

    return send(), executed, origin


@on_uvloop
async def test_gets_and_posts_share_a_connection_that_is_spoken_to_by_name_in_http_1_1() -> None:
    names: list[str] = []
    protocols: list[str | None] = []
    context = server_context(alpn=("h2", "http/1.1"))
    context.sni_callback = lambda _tls, name, _context: names.append(name)

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        protocols.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        writer.write(response(200, request.body or b"nothing"))

    async with Origin(answer, context) as origin, house([origin.port], tls=trusting(), host=HOST) as proxy:
        answers = [await proxy.send(data) for data in (GET, POST, GET, POST)]

    assert [one.rpartition(b"\r\n")[2] for one in answers] == [b"nothing", b"abc"] * 2
    assert names == [HOST]
    assert set(protocols) == {"http/1.1"}
    assert origin.connections == 1


@on_uvloop
async def test_a_name_to_be_called_by_may_be_given_for_endpoints_that_are_addresses() -> None:
    names: list[str] = []
    context = server_context(certificate("ledger.internal"))
    context.sni_callback = lambda _tls, name, _context: names.append(name)

    async with Origin(replying(response(200)), context) as origin:
        tls = replace(trusting(), server_name="ledger.internal")
        async with house([origin.port], tls=tls) as proxy:
            answer = await proxy.send(GET)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert names == ["ledger.internal"]


@on_uvloop
async def test_an_endpoint_that_is_an_address_is_verified_by_its_address() -> None:
    async with Origin(replying(response(200)), server_context(certificate("127.0.0.1"))) as origin:
        async with house([origin.port], ONCE, tls=trusting()) as proxy:
            good = await proxy.send(GET)
    async with Origin(replying(response(200)), server_context(certificate("127.0.0.2"))) as origin:
        async with house([origin.port], ONCE, tls=trusting()) as proxy:
            bad = await proxy.send(GET)

    assert good.startswith(b"HTTP/1.1 200 ")
    assert reason_of(bad) == "tls_hostname"


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@on_uvloop
async def test_a_client_certificate_is_shown_to_whoever_demands_one(newest: ssl.TLSVersion) -> None:
    subjects: list[object] = []

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        subjects.append(writer.get_extra_info("peercert")["subjectAltName"])
        writer.write(response(200))

    async with Origin(answer, server_context(client_ca="ours", newest=newest)) as origin:
        async with house([origin.port], tls=trusting(shown=certificate("checkout")), host=HOST) as proxy:
            got = await proxy.send(GET)

    assert got.startswith(b"HTTP/1.1 200 ")
    assert subjects == [(("DNS", "checkout"),)]


@pytest.mark.parametrize("framing", ["length", "chunked"])
@on_uvloop
async def test_a_mebibyte_goes_both_ways_unharmed(framing: str) -> None:
    body = bytes(range(256)) * (MIB // 256)

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        if framing == "length":
            writer.write(response(200, request.body))
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for at in range(0, MIB, 65536):
                writer.write(b"10000\r\n" + request.body[at : at + 65536] + b"\r\n")
            writer.write(b"0\r\n\r\n")

    async with Origin(answer, server_context()) as origin, house([origin.port], tls=trusting(), host=HOST) as proxy:
        head = b"POST / HTTP/1.1\r\nHost: payments\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % MIB
        got = await proxy.send(head + body, until_close=True)

    answered = got.partition(b"\r\n\r\n")[2]
    if framing == "chunked":
        answered = b"".join(_chunks(answered))
    assert origin.requests[0].body == body
    assert answered == body


def _chunks(data: bytes) -> list[bytes]:
    pieces = []
    while data:
        size, _, data = data.partition(b"\r\n")
        pieces.append(data[: int(size, 16)])
        data = data[int(size, 16) + 2 :]
    return pieces


@on_uvloop
async def test_a_reader_who_does_not_read_holds_the_endpoint_back() -> None:
    written = 0

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
        for _ in range(64):
            writer.write(b"x" * MIB)
            await writer.drain()
            written += MIB

    async with Origin(answer, server_context()) as origin, house([origin.port], tls=trusting(), host=HOST) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port, limit=65536)
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

    assert stalled < 32 * MIB  # what the kernel's socket buffers take, and not the rest
    assert written == 64 * MIB


@on_uvloop
async def test_a_body_without_length_is_over_when_the_endpoint_says_so_in_tls() -> None:
    def talk(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nhello")
        assert isinstance(sock, ssl.SSLSocket)
        sock.unwrap()

    with peer(talk, server_context()) as port:
        async with house([port], ONCE, tls=trusting(), host=HOST) as proxy:
            answer = await proxy.send(GET)

    assert answer.endswith(b"5\r\nhello\r\n0\r\n\r\n")
    assert proxy.tally.requests[Result.SUCCESS] == 1


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@on_uvloop
async def test_a_body_without_length_that_is_cut_off_is_never_a_clean_end(
    newest: ssl.TLSVersion, version: bytes
) -> None:
    await _cut_off(newest, version)


async def test_nor_is_it_on_asyncios_own_loop_which_takes_a_cut_for_an_end() -> None:
    await _cut_off(ssl.TLSVersion.TLSv1_3, b"1.1")


async def _cut_off(newest: ssl.TLSVersion, version: bytes) -> None:
    def talk(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nhello")

    with peer(talk, server_context(newest=newest)) as port:
        async with house([port], ONCE, tls=trusting(), host=HOST) as proxy:
            with pytest.raises(ConnectionResetError):
                await proxy.send(b"GET / HTTP/%b\r\nHost: payments\r\n\r\n" % version, until_close=True)

    assert proxy.tally.requests[Result.FAULT] == 1


@on_uvloop
async def test_an_endpoint_that_closes_in_the_middle_of_a_body_aborts_the_answer() -> None:
    def talk(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
        assert isinstance(sock, ssl.SSLSocket)
        sock.unwrap()

    with peer(talk, server_context()) as port:
        async with house([port], ONCE, tls=trusting(), host=HOST) as proxy:
            with pytest.raises(ConnectionResetError):
                await proxy.send(GET, until_close=True)

    assert proxy.tally.requests[Result.FAULT] == 1


@on_uvloop
async def test_a_connection_that_ends_before_an_answer_is_a_reset_and_not_a_handshake() -> None:
    def talk(sock: socket.socket) -> None:
        read_head(sock)

    with peer(talk, server_context()) as port:
        async with house([port], ONCE, tls=trusting(), host=HOST) as proxy:
            answer = await proxy.send(POST)

    assert reason_of(answer) == "reset"
    assert proxy.tally.connect_failures == {}


@on_uvloop
async def test_a_handshake_may_take_as_long_as_a_connection_and_leaves_no_socket_behind() -> None:
    limits = replace(WireLimits(), connect_timeout=0.2)
    closed: list[bool] = []

    def talk(sock: socket.socket) -> None:
        while sock.recv(1000):
            pass
        closed.append(True)

    with peer(talk) as port:
        async with house([port], ONCE, tls=trusting(), host=HOST, limits=limits) as proxy:
            began = asyncio.get_running_loop().time()
            answer = await proxy.send(GET)
            took = asyncio.get_running_loop().time() - began
            while not closed:
                await asyncio.sleep(0.01)

    assert reason_of(answer) == "tls_timeout"
    assert 0.19 <= took < 1.5
    assert proxy.route.pool.counts() == (0, 0)


def test_only_an_alert_about_our_certificate_undoes_a_handshake() -> None:
    def alert(reason: str, number: int = ssl.SSL_ERROR_SSL) -> ssl.SSLError:
        error = ssl.SSLError(number, reason)
        error.reason = reason
        return error

    assert refused_late(alert("TLSV13_ALERT_CERTIFICATE_REQUIRED")) is HandshakeFailure.CLIENT_CERTIFICATE
    assert refused_late(alert("TLSV1_ALERT_INTERNAL_ERROR")) is None
    assert refused_late(ConnectionResetError()) is None
    assert refused_late(None) is None
    assert failure_of(alert("TLSV1_ALERT_NO_APPLICATION_PROTOCOL")) is HandshakeFailure.ALPN


@on_uvloop
async def test_a_certificate_that_is_not_trusted_is_not_asked_for_again_where_there_is_no_other_address() -> None:
    async with Origin(replying(response(200)), server_context(certificate(by="theirs"))) as origin:
        async with house([origin.port], tls=replace(trusting(), server_name=HOST)) as proxy:
            answer = await proxy.send(GET)

    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"x-sidecar-attempts: 1\r\n" in answer
    assert b"x-sidecar-refusal" not in answer
    assert proxy.tally.retries == {}
