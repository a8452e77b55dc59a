"""What is passed on, what stays behind, and that the rest keeps its order, case and bytes (RFC 9110 §7.6)."""

import pytest

from tests.acceptance.conformance.rig import DOORS, GET, OK, Rig, free_port

HEAD = b"GET /x HTTP/1.1\r\nHost: payments\r\n"
ADDED = {"via", "x-request-id"}


def delivered_with(wire: Rig, fields: bytes) -> list[tuple[str, str]]:
    answer = wire.delivered(b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 2\r\n\r\nok")
    return [(name, value) for name, value in answer.fields if name not in {"x-sidecar-attempts", "Content-Length"}]


def forwarded_with(wire: Rig, fields: bytes, door: str = "own") -> list[tuple[str, str]]:
    request = wire.forwarded(HEAD + fields + b"\r\n", door)
    return [(name, value) for name, value in request.fields if name.lower() not in ADDED | {"host"}]


@pytest.mark.parametrize("door", DOORS)
def test_order_case_and_duplicates_are_kept_both_ways(wire: Rig, door: str) -> None:
    fields = b"X-B: 1\r\nx-a: 2\r\nSet-Cookie: a=b\r\nX-b: 3\r\nsEt-cookie: c=d\r\nEmpty:\r\nx-a: 2\r\n"

    pairs = [
        ("X-B", "1"),
        ("x-a", "2"),
        ("Set-Cookie", "a=b"),
        ("X-b", "3"),
        ("sEt-cookie", "c=d"),
        ("Empty", ""),
        ("x-a", "2"),
    ]
    assert forwarded_with(wire, fields, door) == pairs
    assert delivered_with(wire, fields) == pairs


def test_bytes_past_ascii_and_blanks_in_values_pass(wire: Rig) -> None:
    fields = b"X-Utf: \xc3\xa4\xe2\x82\xac\r\nX-High: \x80\xff\r\nX-Tab: a\tb  c\r\n"
    fields += b"X-Odd: !\"#$%&'()*+,/:;<=>?@[]^_`{|}~\r\n"

    assert forwarded_with(wire, fields) == delivered_with(wire, fields)
    assert wire.forwarded(HEAD + fields + b"\r\n").raw.count(fields) == 1


def test_a_content_length_stays_where_it_was(wire: Rig) -> None:
    raw = b"POST /x HTTP/1.1\r\nA: 1\r\nContent-Length: 2\r\nHost: payments\r\nConnection: x\r\nB: 2\r\n\r\nhi"
    answer = b"HTTP/1.1 200 OK\r\nA: 1\r\ncontent-LENGTH: 2\r\nConnection: x\r\nB: 2\r\n\r\nok"

    forwarded, delivered = wire.ask(raw, answer)

    assert [name for name, _ in forwarded.fields][:4] == ["A", "Content-Length", "Host", "B"]
    assert [name for name, _ in delivered.fields][:3] == ["A", "content-LENGTH", "B"]


def test_via_is_added_behind_those_before_it_unless_policy_wants_none(wire: Rig, tight: Rig) -> None:
    fields = b"Via: 1.0 first\r\nX: y\r\nvia: 1.1 second\r\n"

    assert wire.forwarded(HEAD + fields + b"\r\n").all("via") == ["1.0 first", "1.1 second", "1.1 sidecar"]
    assert tight.forwarded(HEAD + fields + b"\r\n").all("via") == ["1.0 first", "1.1 second"]


@pytest.mark.parametrize("door", DOORS)
def test_who_asked_is_not_told_to_anybody_outside(wire: Rig, door: str) -> None:
    fields = b"X-Forwarded-For: 10.1.1.1\r\nX-Forwarded-Proto: https\r\n"

    assert forwarded_with(wire, b"", door) == []
    assert forwarded_with(wire, fields, door) == [("X-Forwarded-For", "10.1.1.1"), ("X-Forwarded-Proto", "https")]


HOP_BY_HOP = {
    "Connection": b"Connection: keep-alive\r\n",
    "what Connection names": b"Connection: x-secret\r\nX-Secret: 1\r\nx-secret: 2\r\n",
    "what several Connections name": b"Connection: x-a\r\nX-A: 1\r\nX-B: 1\r\nConnection: x-b\r\n",
    "what a list with blanks and gaps names": b"Connection: ,, x-a\t,\t X-B ,\r\nX-A: 1\r\nX-B: 1\r\n",
    "what Connection names after a tab": b"Connection:\tx-a\r\nX-A: 1\r\n",
    "Keep-Alive": b"Keep-Alive: timeout=5\r\n",
    "Proxy-Connection": b"Proxy-Connection: keep-alive\r\n",
    "Proxy-Authenticate": b"Proxy-Authenticate: Basic\r\n",
    "Proxy-Authorization": b"Proxy-Authorization: Basic eDp5\r\n",
    "Trailer": b"Trailer: X-Sum\r\n",
    "Upgrade": b"Upgrade: foo/2\r\n",
    "Upgrade that Connection names": b"Connection: upgrade\r\nUpgrade: foo/2\r\n",
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
    "h2c beside websocket": b"Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n",
    "two Upgrades": b"Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
    "x-sidecar-": b"X-Sidecar-Policy: off\r\nx-sidecar-attempts: 9\r\n",
    "Envoy's words on retries": b"x-envoy-max-retries: 10\r\nX-Envoy-Retry-On: 5xx\r\nx-envoy-retry-grpc-on: a\r\n",
}


@pytest.mark.parametrize("door", ["own", "absolute"])
@pytest.mark.parametrize("fields", HOP_BY_HOP.values(), ids=HOP_BY_HOP)
def test_a_field_for_one_hop_stays_behind_both_ways(wire: Rig, fields: bytes, door: str) -> None:
    assert forwarded_with(wire, fields + b"X-Keep: 1\r\n", door) == [("X-Keep", "1")]
    assert delivered_with(wire, fields + b"X-Keep: 1\r\n") == [("X-Keep", "1")]


@pytest.mark.parametrize(
    "line",
    [b"TE: gzip\r\n", b"TE: trailers, gzip\r\n", b"TE: gzip;q=0.5\r\nTE: trailers\r\n", b"X-Retry-Attempt: 7\r\n"],
)
def test_a_word_to_this_hop_is_not_passed_to_the_next(wire: Rig, line: bytes) -> None:
    assert forwarded_with(wire, line) == []


def test_te_passes_when_trailers_is_all_it_says(wire: Rig) -> None:
    assert forwarded_with(wire, b"TE: trailers\r\n") == [("TE", "trailers")]


def test_connection_can_not_name_away_host_or_length(wire: Rig) -> None:
    raw = (
        b"POST /x HTTP/1.1\r\nHost: payments\r\nConnection: host, content-length, close\r\nContent-Length: 2\r\n\r\nhi"
    )

    forwarded, delivered = wire.ask(
        raw, b"HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 2\r\n\r\nok"
    )

    assert (forwarded.get("host"), forwarded.get("content-length"), forwarded.body) == ("payments", "2", b"hi")
    assert (delivered.get("content-length"), delivered.body) == ("2", b"ok")


def test_a_request_id_that_connection_names_away_is_replaced_by_ours(wire: Rig) -> None:
    forwarded = wire.forwarded(HEAD + b"Connection: x-request-id\r\nX-Request-Id: theirs\r\n\r\n")

    assert len(forwarded.all("x-request-id")) == 1
    assert forwarded.get("x-request-id") != "theirs"


def test_via_is_added_behind_what_is_there(wire: Rig) -> None:
    assert wire.forwarded(HEAD + b"Via: 1.0 first\r\n\r\n").all("via") == ["1.0 first", "1.1 sidecar"]


def test_every_request_has_one_id(wire: Rig) -> None:
    ours = [wire.forwarded(GET).all("x-request-id") for _ in range(2)]
    theirs = wire.forwarded(HEAD + b"X-REQUEST-ID: mine\r\n\r\n")

    assert len({*ours[0], *ours[1]}) == 2
    assert theirs.all("x-request-id") == ["mine"]


TARGETS = [
    b"/", b"//", b"/a/../b/./c", b"/%2e%2e/%2F%zz%", b"/a;b=c?d=e&f=g?h", b"/?", b"/?x", b"/a:b@c", b"/http://b/",
    b"/a\\b\"<>^`{|}'[]", b"/*", b"/~!$&'()*+,;=", b"/" + b"a" * 16000, b"/%00%0d%0a",
]  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target[:20].decode())
def test_a_target_is_forwarded_byte_for_byte(wire: Rig, target: bytes, door: str) -> None:
    forwarded = wire.forwarded(b"GET " + target + b" HTTP/1.1\r\nHost: payments\r\n\r\n", door)

    assert forwarded.line == f"GET {target.decode()} HTTP/1.1"


@pytest.mark.parametrize(
    ("line", "target", "host"),
    [
        (b"GET http://payments HTTP/1.1", "/", "payments"),
        (b"GET http://payments?x HTTP/1.1", "/?x", "payments"),
        (b"GET HTTP://PAYMENTS/x HTTP/1.1", "/x", "PAYMENTS"),
        (b"GET http://payments:80/x HTTP/1.1", "/x", "payments:80"),
        (b"GET http://payments:8080/x HTTP/1.1", "/x", "payments:8080"),
        (b"GET http://payments:/x HTTP/1.1", "/x", "payments:"),
        (b"GET https://payments/x HTTP/1.1", "/x", "payments"),
        (b"OPTIONS http://payments HTTP/1.1", "*", "payments"),
        (b"OPTIONS http://payments/ HTTP/1.1", "/", "payments"),
        (b"OPTIONS http://payments?x HTTP/1.1", "/?x", "payments"),
    ],
)
@pytest.mark.parametrize("door", ["own", "host"])
def test_the_authority_of_an_absolute_target_wins_over_host(
    wire: Rig, line: bytes, target: str, host: str, door: str
) -> None:
    forwarded = wire.forwarded(line + b"\r\nA: 1\r\nhost: elsewhere.example\r\nB: 2\r\n\r\n", door)

    assert forwarded.line.split()[1] == target
    assert forwarded.all("host") == [host]
    assert [name.lower() for name, _ in forwarded.fields][:3] == ["a", "host", "b"]


@pytest.mark.parametrize("door", ["own", "host"])
def test_an_old_request_without_host_gets_one_where_it_is_known(wire: Rig, door: str) -> None:
    client = wire.client(door).send(b"GET http://payments/x HTTP/1.0\r\n\r\n")
    server = wire.server()
    forwarded = server.message()
    server.send(OK)

    assert forwarded.all("host") == ["payments"]
    assert client.rest().endswith(b"ok")


@pytest.mark.parametrize("door", ["own", "host"])
def test_options_of_the_server_as_a_whole_is_forwarded(wire: Rig, door: str) -> None:
    assert wire.forwarded(b"OPTIONS * HTTP/1.1\r\nHost: payments\r\n\r\n", door).line == "OPTIONS * HTTP/1.1"


@pytest.mark.parametrize(
    "host", [b"payments", b"PAYMENTS", b"payments:8080", b"payments:", b"payments  ", b"\tpayments\t"]
)
def test_a_host_is_found_in_any_case_with_or_without_port_and_blanks(wire: Rig, host: bytes) -> None:
    forwarded = wire.forwarded(b"GET /x HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", "host")

    assert forwarded.all("host") == [host.strip().decode()]


@pytest.mark.parametrize("host", [b"127.0.0.1:16001", b"localhost", b"[::1]:80", b""])
@pytest.mark.parametrize("target", [b"/x", b"http://localhost/x"])
def test_on_a_port_of_its_own_a_host_that_only_names_the_sidecar_becomes_the_destinations(
    wire: Rig, host: bytes, target: bytes
) -> None:
    forwarded = wire.forwarded(b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")

    assert forwarded.all("host") == [f"127.0.0.1:{wire.upstream}"]


@pytest.mark.parametrize(
    "method",
    [b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"QUERY", b"PROPFIND", b"PROPPATCH", b"MKCOL",
     b"COPY", b"MOVE", b"LOCK", b"UNLOCK", b"SEARCH", b"REPORT", b"ACL", b"BIND", b"PURGE", b"LINK", b"UNLINK",
     b"M-SEARCH", b"NOTIFY", b"SUBSCRIBE", b"UNSUBSCRIBE", b"MKCALENDAR", b"MERGE", b"CHECKOUT", b"MKACTIVITY"],
)  # fmt: skip
def test_a_method_of_http_is_forwarded(wire: Rig, method: bytes) -> None:
    assert wire.forwarded(method + b" /x HTTP/1.1\r\nHost: payments\r\n\r\n").line == f"{method.decode()} /x HTTP/1.1"


def test_an_expectation_that_is_not_ours_to_meet_is_passed_on(wire: Rig) -> None:
    assert forwarded_with(wire, b"Expect: miracles\r\n") == [("Expect", "miracles")]


@pytest.mark.parametrize("empty", [b"\r\n", b"\r\n\r\n"])
def test_empty_lines_before_a_request_are_no_request(wire: Rig, empty: bytes) -> None:
    assert wire.forwarded(empty + GET).line == "GET /x HTTP/1.1"


def test_a_host_that_nobody_named_is_refused(wire: Rig) -> None:
    client = wire.client("host").send(b"GET /x HTTP/1.1\r\nHost: nobody\r\n\r\n")

    answer = client.message()

    assert (answer.status, b'"unlisted"' in answer.body) == (502, True)
    assert wire.uncalled(0.01)


def test_a_url_that_nobody_named_is_forwarded_to_where_it_says(wire: Rig) -> None:
    raw = b"GET http://127.0.0.1:%d/x HTTP/1.1\r\nHost: x\r\n\r\n" % wire.upstream

    assert wire.forwarded(raw, "host").all("host") == [f"127.0.0.1:{wire.upstream}"]


@pytest.mark.parametrize("door", ["own", "egress", "shop"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_request_that_would_come_back_is_a_508(wire: Rig, host: str, door: str) -> None:
    port = getattr(wire, door)
    client = wire.client("host").send(f"GET http://{host}:{port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    assert client.message().status == 508


def test_where_nobody_listens_it_is_a_502_that_says_so(wire: Rig) -> None:
    client = wire.client("host").send(b"GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % free_port())

    answer = client.message()

    assert (answer.status, b'"connect_failure"' in answer.body) == (502, True)
