"""The chunked coding, read strictly and written anew."""

import re

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.wire.chunked import LAST_CHUNK, ChunkedReader, chunk, last_chunk
from sidecar.wire.malformed import Malformed

Result = tuple[bytes, bytes, bytes]

BAD = {
    "a size that is no number": b"x\r\n",
    "a negative size": b"-1\r\n",
    "a signed size": b"+1\r\n",
    "a size with its base": b"0x1\r\n",
    "a size with an underscore": b"1_0\r\n",
    "a size after a space": b" 1\r\n",
    "a size before a space": b"1 \r\n",
    "no size": b"\r\n",
    "an extension without a size": b";a=b\r\n",
    "a size ended by a bare LF": b"1\n",
    "a bare LF in an extension": b"1;a\nb\r\n",
    "a bare CR in an extension": b"1;a\rb\r\n",
    "a control byte in an extension": b"1;\x01\r\n",
    "a NUL in an extension": b"1;\x00\r\n",
    "a bare CR after a size": b"1\rx\r\n",
    "a size past sixty bits": b"1111111111111111\r\n",
    "a chunk longer than its size": b"3\r\nabcd\r\n",
    "a chunk ended by a bare LF": b"3\r\nabc\n",
    "a chunk ended by a bare CR": b"3\r\nabc\r0\r\n\r\n",
    "junk between a chunk and its end": b"3\r\nabcx\r\n0\r\n\r\n",
    "a trailer without a colon": b"0\r\nbad field\r\n\r\n",
    "a trailer without a name": b"0\r\n: empty\r\n\r\n",
    "a space before a trailer's colon": b"0\r\nX : y\r\n\r\n",
    "a folded trailer": b"0\r\nX: y\r\n z\r\n\r\n",
    "a NUL in a trailer": b"0\r\nX: \x00\r\n\r\n",
    "a trailer ended by a bare LF": b"0\r\nX: y\n\r\n",
    "a bare CR in a trailer": b"0\r\nX: y\rZ: 1\r\n\r\n",
    "an end without its CR": b"0\r\n\n",
    "a size line that never ends": b"1;" + b"e" * 4096,
}
MIXED = (
    b'5;ext="a"\r\nhello\r\nB \t; q\r\n, you there\r\n001\r\n!\r\n0;last\r\n'
    b"X-Sum: 1\r\nContent-Length: 9\r\nConnection: x\r\nx-Tag:\tb\r\n\r\n"
)
PLAIN = MIXED.replace(b" \t;", b";")


def read(*pieces: bytes) -> Result | tuple[int, str]:
    reader = ChunkedReader()
    payload = rest = b""
    try:
        for piece in pieces:
            if reader.done:
                rest += piece
            else:
                payload += reader.feed(piece)
                rest = reader.rest
    except Malformed as error:
        return error.status, error.reason
    return payload, reader.trailers, rest


def cuts(data: bytes) -> list[tuple[bytes, ...]]:
    halves: list[tuple[bytes, ...]] = [(data[:at], data[at:]) for at in range(1, len(data))]
    return [*halves, tuple(data[at : at + 1] for at in range(len(data)))]


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_a_corrupt_body_is_a_bad_chunk(data: bytes) -> None:
    assert read(data) == (400, "bad_chunk")


@pytest.mark.parametrize("data", [data for data in BAD.values() if len(data) < 100])
def test_a_corrupt_body_is_refused_alike_however_it_is_cut(data: bytes) -> None:
    results = {read(*pieces) for pieces in cuts(data)}

    assert results == {(400, "bad_chunk")}


def test_payload_trailers_and_what_follows_are_told_apart_at_every_cut() -> None:
    results = {read(*pieces) for pieces in cuts(MIXED + b"GET /")}

    assert results == {(b"hello, you there!", b"X-Sum: 1\r\nx-Tag:\tb\r\n", b"GET /")}


def test_a_body_is_not_done_before_its_last_byte() -> None:
    for at in range(len(MIXED)):
        reader = ChunkedReader()
        reader.feed(MIXED[:at])

        assert not reader.done
        assert reader.rest == b""


def test_a_size_line_may_be_as_long_as_its_limit_and_no_longer() -> None:
    longest = b"1;" + b"e" * 4092 + b"\r\n"

    assert read(longest + b"a\r\n" + LAST_CHUNK) == (b"a", b"", b"")
    assert read(b"1;e" + longest[2:]) == (400, "bad_chunk")


def test_a_line_that_is_too_long_is_refused_before_it_ends() -> None:
    reader = ChunkedReader()
    reader.feed(b"1;" + b"e" * 4000)

    with pytest.raises(Malformed) as caught:
        reader.feed(b"e" * 100)

    assert (caught.value.status, caught.value.reason) == (400, "bad_chunk")


def test_extensions_may_exceed_their_chunks_by_so_much_and_no_more() -> None:
    small, large = b"1;" + b"e" * 4000 + b"\r\na\r\n", b"fa0;" + b"e" * 4000 + b"\r\n" + b"a" * 4000 + b"\r\n"

    assert read(small * 4 + LAST_CHUNK) == (b"aaaa", b"", b"")
    assert read(small * 5 + LAST_CHUNK) == (400, "bad_chunk")
    assert read((small * 4 + large * 4) * 5 + LAST_CHUNK) == (b"a" * (4 + 16000) * 5, b"", b"")
    assert read((small * 4 + b"fff\r\n" + b"a" * 4095 + b"\r\n") * 4 + LAST_CHUNK) == (400, "bad_chunk")


def test_a_size_that_is_promised_pays_for_no_later_extension() -> None:
    small = b"1;" + b"e" * 4000 + b"\r\na\r\n"

    assert read(b"fff\r\n" + b"a" * 4095 + b"\r\n" + small * 5) == (400, "bad_chunk")


def test_tiny_chunks_without_extensions_may_go_on_for_ever() -> None:
    assert read(b"1\r\na\r\n" * 20_000 + LAST_CHUNK) == (b"a" * 20_000, b"", b"")


@pytest.mark.parametrize("line", [b"X: " + b"y" * 50 + b"\r\n", b"y" * 50], ids=["many lines", "one line"])
def test_a_trailer_that_never_ends_is_a_431(line: bytes) -> None:
    reader = ChunkedReader(1000)
    reader.feed(b"0\r\n")

    with pytest.raises(Malformed) as caught:
        for _ in range(100):
            reader.feed(line)

    assert (caught.value.status, caught.value.reason) == (431, "head_too_large")


@pytest.mark.parametrize(
    "name", [b"Transfer-Encoding", b"Content-Length", b"HOST", b"Set-Cookie", b"Authorization", b"Trailer", b"Upgrade"]
)
def test_a_trailer_may_not_frame_route_or_authorise(name: bytes) -> None:
    assert read(b"0\r\n" + name + b": x\r\nX-Sum: 1\r\n\r\n") == (b"", b"X-Sum: 1\r\n", b"")


def test_a_large_chunk_is_handed_on_as_it_comes() -> None:
    reader = ChunkedReader()

    pieces = [reader.feed(b"fffffff\r\nabc"), reader.feed(b"def")]

    assert pieces == [b"abc", b"def"]


def test_an_end_without_trailers_is_the_shortest_there_is() -> None:
    assert last_chunk(b"") == b"0\r\n\r\n"
    assert last_chunk(b"A: b\r\n") == b"0\r\nA: b\r\n\r\n"
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


def read_by_h11(wire: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]] | None:
    """Payload and trailers, or None for a body that h11 refuses or that has not ended."""
    oracle = h11.Connection(h11.SERVER)
    oracle.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    oracle.next_event()
    payload = b""
    try:
        oracle.receive_data(wire)
        while isinstance(event := oracle.next_event(), h11.Data):
            payload += bytes(event.data)
    except h11.RemoteProtocolError:
        return None
    return (payload, list(event.headers)) if isinstance(event, h11.EndOfMessage) else None


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(st.binary(min_size=1, max_size=50), max_size=6), st.sampled_from([b"", b"X-Sum: 1\r\n"]), st.integers(1, 9)
)
def test_what_is_written_is_read_again_here_and_by_h11(pieces: list[bytes], trailers: bytes, step: int) -> None:
    wire = b"".join(map(chunk, pieces)) + last_chunk(trailers)

    ours = read(*(wire[at : at + step] for at in range(0, len(wire), step)))

    assert ours == (b"".join(pieces), trailers, b"")
    assert read_by_h11(wire) == (b"".join(pieces), [(b"x-sum", b"1")] if trailers else [])


SPACE_BEFORE_EXTENSION = re.compile(rb"[ \t];")
"""To be read (RFC 9112 §7.1.1), though h11 does not."""

PART = st.sampled_from(
    [b"0", b"1", b"3", b"a", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b";x", b";", b" ", b"\t", b"abc", b"X: y", b":"]
)
ALMOST = st.one_of(
    st.lists(PART, max_size=12).map(b"".join),
    st.tuples(st.integers(0, len(PLAIN)), st.integers(0, 2), PART).map(
        lambda edit: PLAIN[: edit[0]] + edit[2] + PLAIN[edit[0] + edit[1] :]
    ),
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(ALMOST, st.integers(1, 60))
def test_a_body_that_ends_here_ends_alike_for_h11_and_at_every_cut(wire: bytes, at: int) -> None:
    reader = ChunkedReader()
    try:
        payload = reader.feed(wire)
    except Malformed:
        assert read(wire[:at], wire[at:]) in {(400, "bad_chunk"), (431, "head_too_large")}
        return  # stricter is allowed: bare LF and what h11 leaves unread
    if reader.done and SPACE_BEFORE_EXTENSION.search(wire) is None:
        oracle = read_by_h11(wire[: len(wire) - len(reader.rest)])

        assert oracle is not None
        assert oracle[0] == payload
    assert read(wire[:at], wire[at:]) == (payload, reader.trailers, reader.rest)
