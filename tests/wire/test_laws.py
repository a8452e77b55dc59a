"""The laws of `laws`, of what the fuzzer has kept and of what hypothesis makes up."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.laws import check, check_bytes

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())

TOKEN = st.from_regex(rb"[A-Za-z][A-Za-z0-9-]{0,6}", fullmatch=True)
FIELD = st.one_of(
    st.tuples(
        TOKEN,
        st.sampled_from([b": ", b":", b":\t", b" : ", b":  "]),
        st.from_regex(rb"[!-~\x80-\xff]{0,3}([ \t]?[!-~]{1,3}){0,3}[ \t]?", fullmatch=True),
    ).map(b"".join),
    st.tuples(st.sampled_from([b"Connection: ", b"connection:"]), st.lists(TOKEN, max_size=3).map(b", ".join)).map(
        b"".join
    ),
    st.sampled_from(
        [
            b"Content-Length: 0",
            b"Content-Length: 5",
            b"content-length:5 ",
            b"Content-Length: 05",
            b"Content-Length: +5",
            b"Content-Length: 5, 5",
            b"Transfer-Encoding: chunked",
            b"transfer-encoding:\tCHUNKED",
            b"Transfer-Encoding: gzip",
            b"Transfer-Encoding: gzip, chunked",
            b"Transfer-Encoding: chunked, gzip",
            b"Connection: close",
            b"Connection: keep-alive",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Upgrade: h2c",
            b"Host: b",
            b"Host: a b",
            b"Proxy-Connection: close",
            b"Expect: 100-continue",
            b"TE: trailers",
            b"Trailer: x",
            b"X: a\x00",
            b" folded",
            b"X: a\rb",
            b"X: a\nY: b",
            b"X",
            b": x",
            b"X-Request-Id: r",
            b"Idempotency-Key: k",
        ]
    ),
)
FIELDS = st.lists(FIELD, max_size=5).map(lambda lines: b"".join(line + b"\r\n" for line in lines))
BODY = st.lists(
    st.sampled_from(
        [
            b"hello",
            b"5\r\nhello\r\n",
            b"5;x=y\r\nhello\r\n",
            b"0\r\n\r\n",
            b"0\r\nX: y\r\n\r\n",
            b"0\r\nHost: y\r\n\r\n",
            b"5 \r\nhello\r\n",
            b"5\nhello\r\n",
            b"5\r\nhello",
            b"-1\r\n",
            b"fffffffffffffffff\r\n",
            b"\r\n",
            b"\n",
            b"0",
        ]
    ),
    max_size=4,
).map(b"".join)
LINE = st.tuples(
    st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"get", b"FROB", b"PRI", b"\r\nGET"]),
    st.sampled_from([b"/", b"/x?y", b"*", b"http://a/b", b"a:1", b"/a b", b"/\x01", b"/#f", b"/" + b"a" * 300]),
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1"]),
).map(b" ".join)
STATUS = st.tuples(
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0"]),
    st.sampled_from(
        [b"200 OK", b"200", b"204 N", b"304 N", b"100 C", b"103 E", b"101 S", b"503 ", b"099 x", b"200 a\x01"]
    ),
).map(b" ".join)
REQUESTS = st.lists(
    st.tuples(LINE, st.just(b"\r\nHost: a\r\n"), FIELDS, st.just(b"\r\n"), BODY).map(b"".join), max_size=3
)
RESPONSES = st.lists(st.tuples(STATUS, st.just(b"\r\n"), FIELDS, st.just(b"\r\n"), BODY).map(b"".join), max_size=3)


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.name)
def test_the_laws_hold_of_what_the_fuzzer_has_kept(file: Path) -> None:
    check(file.read_bytes())


@settings(max_examples=600, deadline=None, derandomize=True)
@given(REQUESTS.map(b"".join), st.integers(0, 15))
def test_the_laws_hold_of_requests(data: bytes, seed: int) -> None:
    check_bytes(data, kind=0, seed=seed)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(RESPONSES.map(b"".join), st.sampled_from([1, 2]), st.integers(0, 15))
def test_the_laws_hold_of_responses(data: bytes, kind: int, seed: int) -> None:
    check_bytes(data, kind=kind, seed=seed)
