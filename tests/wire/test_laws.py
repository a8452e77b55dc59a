"""The laws of `laws`, of what the fuzzer has kept and of what hypothesis makes up."""

import re
from pathlib import Path

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.laws import CONTROL, FOLD, LF, STRICTER, asked, check, check_bytes, oracle_takes, read

OK = b"HTTP/1.1 200 OK\r\n"
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


GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = GET + b"Transfer-Encoding: chunked\r\n\r\n"
DIFFERENCES: dict[tuple[str, str], list[bytes]] = {
    ("unsupported_version", "neither 1.0 nor 1.1"): [b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"],
    ("unsupported_version", "PRI"): [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ("unknown_method", "a method that is none of HTTP"): [b"FROB / HTTP/1.1\r\nHost: a\r\n\r\n"],
    ("bad_request_line", "lower case in a method"): [b"get / HTTP/1.1\r\nHost: a\r\n\r\n"],
    ("bad_request_line", LF): [b"GET / HTTP/1.1\nHost: a\r\n\r\n"],
    ("bad_target", "a fragment"): [b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n"],
    ("bad_target", "no form of a target"): [b"GET x HTTP/1.1\r\nHost: a\r\n\r\n"],
    ("bad_target", "a byte that no authority has"): [b'CONNECT "x HTTP/1.1\r\nHost: a\r\n\r\n'],
    ("target_too_long", "a long target"): [b"GET /" + b"a" * 300 + b" HTTP/1.1\r\nHost: a\r\n\r\n"],
    ("head_too_large", "a large head"): [
        GET + b"X: " + b"a" * 2048 + b"\r\n\r\n",
        OK + b"X: " + b"a" * 2048 + b"\r\n\r\n",
    ],
    ("too_many_fields", "too many fields"): [GET + b"X: a\r\n" * 30 + b"\r\n", OK + b"X: a\r\n" * 31 + b"\r\n"],
    ("bad_field", LF): [GET + b"X: a\nY: b\r\n\r\n", OK + b"X: a\nY: b\r\n\r\n", GET + b"\n", OK + b"\n"],
    ("bad_field", FOLD): [GET + b"X: a\r\n b\r\n\r\n", OK + b"X: a\r\n\tb\r\n\r\n"],
    ("bad_field", CONTROL): [GET + b"X: a\x01\r\n\r\n", OK + b"X: a\x7f\r\n\r\n"],
    ("content_length", "two lengths"): [head + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n" for head in (GET, OK)],
    ("content_length", "a list of lengths"): [head + b"Content-Length: 0, 0\r\n\r\n" for head in (GET, OK)],
    ("content_length", "a length past 63 bits"): [head + b"Content-Length: %d\r\n\r\n" % 2**63 for head in (GET, OK)],
    ("transfer_encoding", "a coding behind a length"): [
        head + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" for head in (GET, OK)
    ],
    ("transfer_encoding", "a length behind a coding"): [
        head + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" for head in (GET, OK)
    ],
    ("transfer_encoding", "a coding in HTTP/1.0"): [
        head.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n"
        for head in (GET, OK, b"GET / HTTP/1.1\r\n", OK + b"X: a\r\n")
    ],
    ("bad_status_line", "neither 1.0 nor 1.1"): [b"HTTP/2.0 200 OK\r\n\r\n"],
    ("bad_status_line", "a status past 599"): [b"HTTP/1.1 600 OK\r\n\r\n"],
    ("bad_status_line", LF): [b"HTTP/1.1 200 OK\nX: a\r\n\r\n"],
    ("bad_status_line", CONTROL): [b"HTTP/1.1 200 O\x01K\r\n\r\n"],
    ("bad_chunk", "a control byte in an extension"): [CHUNKED + b"1;\x01\r\na\r\n0\r\n\r\n"],
    ("bad_chunk", "a size of more than sixty bits"): [CHUNKED + b"0000000000000001\r\na\r\n0\r\n\r\n"],
    ("bad_chunk", "blanks between a size and its end"): [CHUNKED + b"1 \r\na\r\n0\r\n\r\n"],
    ("bad_chunk", "a long line of a size"): [CHUNKED + b"1;" + b"e" * 4096 + b"\r\na\r\n0\r\n\r\n"],
    ("bad_chunk", LF): [CHUNKED + b"0\r\nX: a\n\r\n"],
    ("bad_chunk", FOLD): [CHUNKED + b"0\r\nX: a\r\n b\r\n\r\n"],
    ("bad_chunk", CONTROL): [CHUNKED + b"0\r\nX: a\x01\r\n\r\n"],
}
"""Of each rule of STRICTER, messages that h11 takes."""


@pytest.mark.parametrize(("place", "messages"), DIFFERENCES.items(), ids=map(": ".join, DIFFERENCES))
def test_a_rule_by_which_we_are_stricter_than_h11_is_one_that_h11_does_not_have(
    place: tuple[str, str], messages: list[bytes]
) -> None:
    reason, rule = place
    for message in messages:
        responses = message.startswith(b"HTTP/")
        refusal = read([message], responses=responses).refusal
        oracle = asked(to_head=False) if responses else h11.Connection(h11.SERVER)

        assert refusal is not None
        assert refusal.reason == reason
        assert oracle_takes(oracle, message, body=reason == "bad_chunk")
        assert re.search(STRICTER[reason][rule], message)
        check_bytes(message, kind=int(responses), seed=0)


def test_every_rule_by_which_we_are_stricter_than_h11_is_shown() -> None:
    assert {(reason, rule) for reason, rules in STRICTER.items() for rule in rules} == DIFFERENCES.keys()


@settings(max_examples=600, deadline=None, derandomize=True)
@given(REQUESTS.map(b"".join), st.integers(0, 15))
def test_the_laws_hold_of_requests(data: bytes, seed: int) -> None:
    check_bytes(data, kind=0, seed=seed)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(RESPONSES.map(b"".join), st.sampled_from([1, 2]), st.integers(0, 15))
def test_the_laws_hold_of_responses(data: bytes, kind: int, seed: int) -> None:
    check_bytes(data, kind=kind, seed=seed)
