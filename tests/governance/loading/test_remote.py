"""What an https server may do to those who ask it for a policy, done by a real one."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from sidecar.governance.documents.yaml import SIZE_CEILING_BYTES
from sidecar.governance.loading.policy_address import Answer, PolicyAddress
from sidecar.governance.loading.remote import Remote, signature_url
from sidecar.governance.policy.delivery import Delivery, Unreachable
from tests.fakes.origin import Request, hanging, hanging_up, replying, response
from tests.fakes.policy_server import PolicyServer, ca_file
from tests.fakes.waiting import pace, turn

POLICY = b"version: 7\nowner: platform\n"


@pytest.fixture
async def server() -> AsyncIterator[PolicyServer]:
    async with PolicyServer() as server:
        server.files["/policy.yaml"] = POLICY
        yield server


@pytest.fixture
def address(server: PolicyServer, tmp_path: Path) -> PolicyAddress:
    return PolicyAddress(url=server.url, timeout=2.0, ca=ca_file(tmp_path), token_file=None, signed=False)


async def fetch(address: PolicyAddress, etag: str | None = None) -> Answer:
    return await Remote().fetch(address, etag)


async def refused(address: PolicyAddress) -> str:
    with pytest.raises(Unreachable) as raised:
        await fetch(address)
    (finding,) = raised.value.findings
    return str(finding)


async def test_a_policy_comes_as_it_is_with_its_etag(server: PolicyServer, address: PolicyAddress) -> None:
    answer = await fetch(address)

    assert answer.delivery == Delivery(server.url, POLICY)
    assert answer.etag == server.etag(POLICY)


async def test_what_has_not_changed_is_not_sent_again(server: PolicyServer, address: PolicyAddress) -> None:
    first = await fetch(address)

    second = await fetch(address, first.etag)

    assert second.delivery is None
    assert server.requests[1].header("if-none-match") == first.etag


async def test_a_signature_comes_from_beside_the_policy(server: PolicyServer, address: PolicyAddress) -> None:
    server.files["/policy.yaml.sig"] = b"signed"

    answer = await fetch(replace(address, signed=True))

    assert answer.delivery == Delivery(server.url, POLICY, b"signed")


async def test_a_missing_signature_is_for_others_to_judge(address: PolicyAddress) -> None:
    answer = await fetch(replace(address, signed=True))

    assert answer.delivery is not None
    assert answer.delivery.signature is None


def test_a_signature_has_the_query_of_its_policy() -> None:
    assert signature_url("https://a/p.yaml?ref=main&x=1") == "https://a/p.yaml.sig?ref=main&x=1"


async def test_the_token_is_read_from_its_file_each_time(
    server: PolicyServer, address: PolicyAddress, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    remote = Remote()
    for token in ("one", "two"):
        file.write_text(f"{token}\n")
        await remote.fetch(replace(address, token_file=file), None)

    assert [request.header("authorization") for request in server.requests] == ["Bearer one", "Bearer two"]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (None, "can not be read: No such file or directory"),
        (b"", "must hold one token, without blanks"),
        (b"one two", "must hold one token, without blanks"),
        (b"one\r\nX-Evil: 1", "must hold one token, without blanks"),
        (b"\xff\xfe", "can not be read"),
        (b"x" * 20_000, "must hold one token, without blanks"),
    ],
)
async def test_a_token_that_is_none_is_named_and_nothing_is_sent(
    server: PolicyServer, address: PolicyAddress, tmp_path: Path, content: bytes | None, rule: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)

    message = await refused(replace(address, token_file=file))

    assert f"{file}: {rule}" in message
    assert server.requests == []


async def test_a_replaced_certificate_authority_is_believed_from_then_on(
    address: PolicyAddress, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    remote = Remote()
    with pytest.raises(Unreachable, match="must hold certificates in PEM"):
        await remote.fetch(replace(address, ca=other), None)
    assert address.ca is not None
    other.write_bytes(address.ca.read_bytes())

    answer = await remote.fetch(replace(address, ca=other), None)

    assert answer.delivery is not None


async def test_a_certificate_authority_that_is_not_there_is_named(address: PolicyAddress, tmp_path: Path) -> None:
    message = await refused(replace(address, ca=tmp_path / "gone.pem"))

    assert message == f"{tmp_path / 'gone.pem'}: can not be read: No such file or directory"


async def test_a_server_that_nobody_vouches_for_is_not_asked(address: PolicyAddress, server: PolicyServer) -> None:
    message = await refused(replace(address, ca=None))

    assert "its certificate is not trusted" in message
    assert server.requests == []


async def test_a_server_with_the_certificate_of_another_is_not_asked(tmp_path: Path) -> None:
    async with PolicyServer(host="elsewhere.internal") as server:
        address = PolicyAddress(url=server.url, timeout=2.0, ca=ca_file(tmp_path), token_file=None, signed=False)

        message = await refused(address)

    assert "its certificate is not trusted" in message


async def test_a_server_that_is_down_is_named_with_the_reason(server: PolicyServer, address: PolicyAddress) -> None:
    async with PolicyServer() as gone:
        url = gone.url

    message = await refused(replace(address, url=url))

    assert message == f"{url}: can not be fetched: Connection refused"


@pytest.mark.parametrize("status", [204, 206, 400, 401, 403, 404, 410, 429, 500, 502, 503])
async def test_any_answer_but_200_is_none(server: PolicyServer, address: PolicyAddress, status: int) -> None:
    server.misbehave = replying(response(status, b"" if status == 204 else b"version: 9\n"))

    assert await refused(address) == f"{server.url}: answered {status}"


async def test_a_304_that_nobody_asked_for_is_no_answer(server: PolicyServer, address: PolicyAddress) -> None:
    server.misbehave = replying(b"HTTP/1.1 304 Not Modified\r\n\r\n")

    assert await refused(address) == f"{server.url}: answered 304"


async def test_a_web_page_is_no_policy(server: PolicyServer, address: PolicyAddress) -> None:
    server.misbehave = replying(response(200, b"<html>log in</html>", "Content-Type: text/html; charset=utf-8"))

    assert "answered with a web page, not with a policy" in await refused(address)


async def test_what_is_not_http_is_no_answer(server: PolicyServer, address: PolicyAddress) -> None:
    server.misbehave = replying(b"\x00\x01\x02 nonsense\r\n\r\n")

    assert "can not be fetched" in await refused(address)


async def test_a_truncated_answer_is_none(server: PolicyServer, address: PolicyAddress) -> None:
    async def cut(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(response(200, POLICY)[:-5])
        await writer.drain()
        writer.close()

    server.misbehave = cut

    assert "its answer broke off" in await refused(address)


async def test_a_truncated_chunked_answer_is_none(server: PolicyServer, address: PolicyAddress) -> None:
    async def cut(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1b\r\n" + POLICY + b"\r\n")
        await writer.drain()
        writer.close()

    server.misbehave = cut

    assert "its answer broke off" in await refused(address)


async def test_an_answer_that_ends_with_the_connection_may_be_cut_and_is_none(
    server: PolicyServer, address: PolicyAddress
) -> None:
    async def close(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + POLICY)
        await writer.drain()
        writer.close()

    server.misbehave = close

    assert "does not say where its answer ends" in await refused(address)


async def test_a_chunked_answer_that_is_whole_is_one(server: PolicyServer, address: PolicyAddress) -> None:
    server.misbehave = replying(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1b\r\n" + POLICY + b"\r\n0\r\n\r\n"
    )

    answer = await fetch(address)

    assert answer.delivery == Delivery(server.url, POLICY)


async def test_an_answer_without_end_is_cut_at_the_greatest_size(server: PolicyServer, address: PolicyAddress) -> None:
    sent = 0

    async def pour(_: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()
            await turn()  # to hear that the other side has gone
            sent += 65536

    server.misbehave = pour

    assert "answered with more than 1024KiB" in await refused(address)
    assert sent < 8 * SIZE_CEILING_BYTES


async def test_an_answer_that_says_it_is_too_long_is_not_read(server: PolicyServer, address: PolicyAddress) -> None:
    server.misbehave = replying(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")

    assert "answered with more than 1024KiB" in await refused(address)


async def test_a_compressed_answer_is_none(server: PolicyServer, address: PolicyAddress) -> None:
    server.misbehave = replying(response(200, gzip.compress(POLICY), "Content-Encoding: gzip"))

    assert 'answered compressed, which was not asked for, got "gzip"' in await refused(address)


@pytest.mark.parametrize("slow", ["to answer", "byte by byte"])
async def test_a_slow_answer_is_given_up_in_time(server: PolicyServer, address: PolicyAddress, slow: str) -> None:
    async def trickle(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await pace(0.02)

    server.misbehave = hanging if slow == "to answer" else trickle
    began = asyncio.get_running_loop().time()

    message = await refused(replace(address, timeout=0.3))

    assert message == f"{server.url}: gave no whole answer within 0.3 s"
    assert asyncio.get_running_loop().time() - began < 2.0


async def test_a_server_that_hangs_up_is_named(server: PolicyServer, address: PolicyAddress) -> None:
    server.misbehave = hanging_up

    assert "it hung up" in await refused(address)


async def test_a_redirect_on_the_same_host_is_followed(server: PolicyServer, address: PolicyAddress) -> None:
    server.files["/v2/policy.yaml"] = POLICY

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.line.startswith("GET /policy.yaml"):
            writer.write(response(302, b"", "Location: /v2/policy.yaml"))
        else:
            writer.write(response(200, POLICY))

    server.misbehave = answer

    answered = await fetch(address)

    assert answered.delivery == Delivery(server.url, POLICY)
    assert server.paths() == ["/policy.yaml", "/v2/policy.yaml"]


async def test_a_redirect_to_another_host_or_scheme_is_not_followed(
    server: PolicyServer, address: PolicyAddress, tmp_path: Path
) -> None:
    """The token would go there, and whoever owns that host would govern the fleet."""
    token = tmp_path / "token"
    token.write_text("secret")
    async with PolicyServer() as other:
        other.files["/policy.yaml"] = b"version: 99\nowner: evil\n"
        for target in (
            other.url,
            f"https://localhost:{server.port}/policy.yaml",
            f"http://127.0.0.1:{server.port}/policy.yaml",
            f"//localhost:{other.port}/policy.yaml",
            f"https://u:p@127.0.0.1:{server.port}/policy.yaml",
            "",
            "https://[broken",
        ):
            server.misbehave = replying(response(301, b"", f"Location: {target}"))

            message = await refused(replace(address, token_file=token))

            assert "redirected to another host" in message
            assert "secret" not in message
        assert other.requests == []


async def test_a_circle_of_redirects_ends(server: PolicyServer, address: PolicyAddress) -> None:
    server.misbehave = replying(response(302, b"", "Location: /policy.yaml"))

    assert "redirected more than 3 times" in await refused(address)
    assert len(server.requests) == 4


@pytest.mark.parametrize("etag", ["unquoted", '"' + "x" * 300 + '"', "W/unquoted"])
async def test_an_etag_that_is_none_is_not_sent_back(server: PolicyServer, address: PolicyAddress, etag: str) -> None:
    server.misbehave = replying(response(200, POLICY, f"ETag: {etag}"))

    assert (await fetch(address)).etag is None


async def test_a_weak_etag_is_one(server: PolicyServer, address: PolicyAddress) -> None:
    server.misbehave = replying(response(200, POLICY, 'ETag: W/"7"'))

    assert (await fetch(address)).etag == 'W/"7"'


async def test_cookies_are_not_kept(server: PolicyServer, address: PolicyAddress) -> None:
    server.misbehave = replying(response(200, POLICY, "Set-Cookie: session=1; Path=/"))
    remote = Remote()

    for _ in range(2):
        await remote.fetch(replace(address, signed=True), None)

    assert [request.header("cookie") for request in server.requests] == [None] * 4


async def endless(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """As good as: 32 MB, so that a client that is not bounded shows, and does not take the memory of the machine."""
    with suppress(ConnectionError):
        for _ in range((32 << 20) // len(piece)):
            if writer.is_closing():
                return
            writer.write(piece)
            await writer.drain()


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/yaml\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "piece", "rule"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, "sent more than 16 interim responses"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "sent more than 16 interim responses"),
        (CHUNKED + b"1;", b"a=b;" * 1000, "sent more than 1280KiB"),
        (CHUNKED, b"1;" + b"x" * 4000 + b"\r\n#\r\n", "sent more than 1280KiB"),
        (CHUNKED + b"0\r\n", b"A: b\r\n" * 100, ""),
    ],
    ids=["100", "103", "one chunk extension", "many chunk extensions", "trailers"],
)
async def test_a_server_that_never_comes_to_an_end_is_broken_off_before_the_time_is_over(
    server: PolicyServer, address: PolicyAddress, head: bytes, piece: bytes, rule: str
) -> None:
    async def misbehave(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await endless(writer, piece)

    server.misbehave = misbehave

    message = await refused(replace(address, timeout=60.0))

    assert rule in message
    assert "whole answer within" not in message


async def test_the_few_interim_responses_of_an_honest_server_are_passed_over(
    server: PolicyServer, address: PolicyAddress
) -> None:
    async def hints(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3 + response(200, POLICY))

    server.misbehave = hints

    assert (await fetch(address)).delivery == Delivery(server.url, POLICY)


SECRET = "c2VjcmV0"


async def test_the_secret_in_the_query_of_an_address_is_told_to_its_server_alone(
    server: PolicyServer, address: PolicyAddress
) -> None:
    known = replace(address, url=f"{server.url}?sig={SECRET}")
    answer = await fetch(known)
    server.files.clear()
    absent = await refused(known)
    server.misbehave = replying(response(302, b"", f"Location: https://elsewhere/p?sig={SECRET}"))
    elsewhere = await refused(known)
    unreachable = await refused(replace(known, url=f"https://127.0.0.1:1/p.yaml?sig={SECRET}"))
    badly_named = await refused(replace(known, url=f"https://a..b/p.yaml?sig={SECRET}"))

    assert answer.delivery is not None
    assert answer.delivery.name.endswith("/policy.yaml?…")
    assert SECRET in server.paths()[0]
    for told in (absent, elsewhere, unreachable, badly_named):
        assert "://" in told
        assert SECRET not in told
