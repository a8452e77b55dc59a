"""A reader that has stopped, or gone, costs lines and never time."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from sidecar.telemetry.line_writer import MAX_LINE_BYTES, LineWriter

PROMPT_SECONDS = 10.0


@dataclass
class Pipe:
    reader: int
    writer: int

    def read_to_end(self) -> bytes:
        os.close(self.writer)
        self.writer = -1
        with os.fdopen(os.dup(self.reader), "rb") as file:
            return file.read()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe(*os.pipe())
    yield pipe
    os.close(pipe.reader)
    if pipe.writer >= 0:
        os.close(pipe.writer)


def fill(fd: int) -> int:
    """Write into a pipe until it takes no more."""
    os.set_blocking(fd, False)
    filled = 0
    try:
        while True:
            filled += os.write(fd, b"." * 4096)
    except BlockingIOError:
        os.set_blocking(fd, True)
    return filled


def test_lines_arrive_whole_and_in_order(pipe: Pipe) -> None:
    writer = LineWriter(pipe.writer)

    taken = [writer.write(f"line {n}".encode()) for n in range(1000)]

    assert writer.close(PROMPT_SECONDS)
    assert all(taken)
    assert pipe.read_to_end() == b"".join(b"line %d\n" % n for n in range(1000))


def test_a_full_pipe_holds_nobody_up_and_what_does_not_fit_is_counted(pipe: Pipe) -> None:
    fill(pipe.writer)
    writer = LineWriter(pipe.writer, capacity_bytes=1000)

    taken = [writer.write(b"x" * 99) for _ in range(10_000)]

    assert sum(taken) == 10
    assert writer.dropped == 9_990
    assert not writer.close(0.0)
    os.read(pipe.reader, 1 << 20)
    assert writer.close(PROMPT_SECONDS)


def test_there_is_room_again_once_the_reader_reads(pipe: Pipe) -> None:
    filled = fill(pipe.writer)
    writer = LineWriter(pipe.writer, capacity_bytes=100)
    writer.write(b"a" * 99)
    refused = writer.write(b"b")

    left = filled + 100
    while left:
        left -= len(os.read(pipe.reader, left))
    accepted = any(writer.write(b"c") for _ in range(10_000_000))

    assert not refused
    assert accepted
    assert writer.close(PROMPT_SECONDS)
    assert pipe.read_to_end() == b"c\n"


def test_a_reader_that_has_gone_loses_lines_and_stops_nothing(pipe: Pipe) -> None:
    gone_reader, orphan = os.pipe()
    os.close(gone_reader)
    writer = LineWriter(orphan)

    writer.write(b"one")
    writer.write(b"two")

    assert writer.close(PROMPT_SECONDS)
    assert writer.dropped == 2
    os.close(orphan)


def test_a_descriptor_somebody_made_non_blocking_is_waited_for(pipe: Pipe) -> None:
    filled = fill(pipe.writer)
    os.set_blocking(pipe.writer, False)
    writer = LineWriter(pipe.writer)
    writer.write(b"late")

    left = filled + 5
    end = b""
    while left:
        end = os.read(pipe.reader, left)
        left -= len(end)

    assert writer.close(PROMPT_SECONDS)
    assert end.endswith(b"late\n")
    assert writer.dropped == 0


def test_a_line_without_measure_is_dropped(pipe: Pipe) -> None:
    writer = LineWriter(pipe.writer)

    assert not writer.write(b"x" * MAX_LINE_BYTES)
    assert writer.close(PROMPT_SECONDS)
    assert writer.dropped == 1


def test_nothing_is_taken_after_the_close(pipe: Pipe) -> None:
    writer = LineWriter(pipe.writer)
    writer.close(PROMPT_SECONDS)

    assert not writer.write(b"late")
    assert pipe.read_to_end() == b""


def test_a_process_ends_although_nobody_reads_what_it_logs(pipe: Pipe) -> None:
    fill(pipe.writer)
    program = (
        "import sys\n"
        "from sidecar.telemetry.log import Format, LogLevel, configure\n"
        "log = configure(Format.JSON, LogLevel.INFO, 2)\n"
        "for n in range(10_000): log.lifecycle('start', n=n)\n"
        "log.close(0.0)\n"
        "sys.exit(7)\n"
    )

    process = subprocess.Popen([sys.executable, "-c", program], stderr=pipe.writer)
    try:
        code = process.wait(30)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()

    assert code == 7
