"""The examples and the rules of https://www.w3.org/TR/trace-context/ §3.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.traceparent import TraceContext, count, parse_traceparent, without

TRACE = 0x0AF7651916CD43DD8448EB211C80319C
PARENT = 0xB7AD6B7169203331
WRITTEN = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_traceparent_is_read() -> None:
    context = parse_traceparent(WRITTEN)

    assert context == TraceContext(TRACE, PARENT, 1)
    assert context.sampled


def test_the_flag_says_whether_the_caller_records() -> None:
    context = parse_traceparent(WRITTEN[:-2] + b"02")

    assert context is not None
    assert not context.sampled


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert parse_traceparent(b"cc" + WRITTEN[2:] + b"-what-the-future-brings") == TraceContext(TRACE, PARENT, 1)
    assert parse_traceparent(b"cc" + WRITTEN[2:]) == TraceContext(TRACE, PARENT, 1)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        WRITTEN + b"-more",
        WRITTEN + b" ",
        b" " + WRITTEN,
        WRITTEN + b"\n",
        WRITTEN.upper(),
        b"ff" + WRITTEN[2:],
        b"0" + WRITTEN[2:],
        b"cc" + WRITTEN[2:] + b".more",
        WRITTEN[:-1],
        b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01",
        b"00-0af7651916cd43dd8448eb211c80319c-" + b"0" * 16 + b"-01",
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
        b"00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
        WRITTEN + b", " + WRITTEN,
    ],
)
def test_what_is_not_one_is_ignored(value: bytes) -> None:
    assert parse_traceparent(value) is None


def test_a_child_keeps_trace_and_flag_and_names_its_parent() -> None:
    assert TraceContext(TRACE, PARENT, 1).line(0xAB) == (
        b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-00000000000000ab-01\r\n"
    )


def test_flags_that_are_not_known_are_not_passed_on() -> None:
    assert TraceContext(TRACE, PARENT, 0xFB).line(1).endswith(b"-03\r\n")


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 3))
def test_what_is_written_is_read_back(trace_id: int, span_id: int, flags: int) -> None:
    line = TraceContext(trace_id, 0, flags).line(span_id)

    assert parse_traceparent(line.removeprefix(b"traceparent: ").removesuffix(b"\r\n")) == TraceContext(
        trace_id, span_id, flags
    )


FIELDS = b"Host: a\r\nTraceparent: x\r\nx-traceparent: y\r\nTRACESTATE: z\r\ncookie: traceparent:1\r\n"


def test_lines_are_taken_out_by_their_whole_name_in_whatever_case() -> None:
    assert without(FIELDS, {b"traceparent"}) == FIELDS.replace(b"Traceparent: x\r\n", b"")
    assert (
        without(FIELDS, {b"traceparent", b"tracestate"}) == b"Host: a\r\nx-traceparent: y\r\ncookie: traceparent:1\r\n"
    )
    assert without(FIELDS, {b"absent"}) == FIELDS


def test_lines_are_counted_by_their_whole_name() -> None:
    assert count(FIELDS, b"traceparent") == 1
    assert count(FIELDS * 2, b"host") == 2
    assert count(FIELDS, b"state") == 0
