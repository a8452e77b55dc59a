"""The chunked coding, read strictly and written anew."""

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.wire.chunked import ChunkedReader, chunk, last_chunk
from sidecar.wire.malformed import Malformed

BAD = [
    b"x\r\n",
    b"-1\r\n",
    b"+1\r\n",
    b"0x1\r\n",
    b" 1\r\n",
    b"1 \r\n",
    b"\r\n",
    b"1\n",
    b"1;a\nb\r\n",
    b"1;\x01\r\n",
    b"1\rx\r\n",
    b"1111111111111111\r\n",
    b"3\r\nabcd\r\n",
    b"3\r\nabc\n",
    b"3\r\nabcx\r\n0\r\n\r\n",
    b"0\r\nbad field\r\n\r\n",
    b"0\r\n: empty\r\n\r\n",
    b"0\r\nX : y\r\n\r\n",
    b"0\r\nX: \x00\r\n\r\n",
    b"0\r\nX: y\n\r\n",
    b"1;" + b"e" * 5000,
]


@pytest.mark.parametrize("data", BAD)
def test_a_corrupt_body_is_refused_however_it_is_cut(data: bytes) -> None:
    for at in (0, 1, len(data) // 2, len(data) - 1):
        reader = ChunkedReader()
        with pytest.raises(Malformed):
            reader.feed(data[:at])
            reader.feed(data[at:])


def test_a_trailer_that_never_ends_is_a_431() -> None:
    reader = ChunkedReader(1000)
    reader.feed(b"0\r\n")

    with pytest.raises(Malformed) as caught:
        for _ in range(100):
            reader.feed(b"X: " + b"y" * 50 + b"\r\n")

    assert caught.value.status == 431


def test_payload_trailers_and_what_follows_are_told_apart_at_every_cut() -> None:
    data = b'5;ext="a"\r\nhello\r\nB\r\n, you there\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n'
    for at in range(len(data) + 1):
        reader = ChunkedReader()
        payload = reader.feed(data[:at])
        payload += reader.feed(data[at:] + b"GET /")

        assert payload == b"hello, you there"
        assert reader.done
        assert reader.trailers == b"X-Sum: 1\r\n"
        assert reader.rest == b"GET /" or at == len(data)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.binary(min_size=1, max_size=50), max_size=6), st.data())
def test_what_is_written_is_read_again_here_and_by_h11(pieces: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(map(chunk, pieces)) + last_chunk(b"X-Sum: 1\r\n")
    reader = ChunkedReader()
    read = b""
    for wire_left in (wire,):
        at = data.draw(st.integers(1, len(wire_left)))
        read += reader.feed(wire_left[:at])
        read += reader.feed(wire_left[at:])

    oracle = h11.Connection(h11.SERVER)
    oracle.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + wire)
    oracle.next_event()
    expected = b""
    while isinstance(event := oracle.next_event(), h11.Data):
        expected += bytes(event.data)
    assert read == expected == b"".join(pieces)
    assert reader.done
