"""Lines are JSON or columns; what the standard library says arrives too; nothing leaks, nothing is lost silently."""

import logging
import os
import re

import pytest

from sidecar.telemetry.line_limit import LineLimit
from sidecar.telemetry.log import Bridge, Format, LogLevel, configure
from tests.telemetry.logs import PipedLog

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")


@pytest.fixture
def stdlib_logger() -> logging.Logger:
    return logging.Logger("tests.stdlib")  # noqa: LOG001 - one that pytest does not listen to


def test_a_line_is_json_with_the_time_the_level_and_the_event_first() -> None:
    with PipedLog() as piped:
        piped.log.lifecycle("start", listen=["127.0.0.1:16001"], policy_version=7)

        (line,) = piped.lines()

    assert list(line) == ["timestamp", "level", "event", "listen", "policy_version"]
    assert ISO.fullmatch(line["timestamp"])
    assert line["level"] == "info"
    assert line["event"] == "start"
    assert line["listen"] == ["127.0.0.1:16001"]


def test_the_console_shows_the_same_in_columns_without_escapes() -> None:
    with PipedLog(Format.CONSOLE) as piped:
        piped.log.lifecycle("drain", in_flight=3)

        text = piped.text()

    assert "drain" in text
    assert "in_flight=3" in text
    assert "\x1b" not in text


def test_a_line_below_the_level_is_not_written_and_not_counted_as_dropped() -> None:
    with PipedLog(level=LogLevel.ERROR) as piped:
        piped.log.lifecycle("start")
        piped.log.report_dropped()

        assert piped.text() == ""
        assert piped.log.dropped == {"rate_limit": 0, "backpressure": 0}


def test_what_was_dropped_is_told_once() -> None:
    with PipedLog() as piped:
        limit = piped.log.limited(LineLimit(1, 1, 0.0))
        for _ in range(4):
            limit.take(0.0)

        piped.log.report_dropped()
        piped.log.report_dropped()

        assert [(line["event"], line["dropped"]) for line in piped.lines()] == [("lines_dropped", 3)]


def test_a_report_that_finds_no_room_is_made_again_later() -> None:
    with PipedLog() as piped:
        limit = piped.log.limited(LineLimit(1, 1, 0.0))
        limit.take(0.0)
        limit.take(0.0)
        piped.log.writer.close(10.0)

        piped.log.report_dropped()

        assert piped.log.dropped == {"rate_limit": 1, "backpressure": 1}
        assert piped.log.unreported == 2


def test_the_close_tells_what_was_dropped() -> None:
    with PipedLog() as piped:
        limit = piped.log.limited(LineLimit(1, 1, 0.0))
        limit.take(0.0)
        limit.take(0.0)

        assert piped.log.close(10.0)
        assert [line["dropped"] for line in piped.lines()] == [1]


def test_the_standard_librarys_records_become_lines(stdlib_logger: logging.Logger) -> None:
    with PipedLog() as piped:
        stdlib_logger.addHandler(Bridge(piped.log, piped.log.limited(LineLimit(1, 10, 0.0)), lambda: 0.0))

        stdlib_logger.warning("slow callback took %.1f s", 1.5)

        (line,) = piped.lines()
    assert line["level"] == "warning"
    assert line["logger"] == "tests.stdlib"
    assert line["text"] == "slow callback took 1.5 s"


def fail_with_a_key_at_hand(idempotency_key: str) -> None:
    raise LookupError(f"\udcff{len(idempotency_key)}")


def test_an_exception_is_told_without_local_variables(stdlib_logger: logging.Logger) -> None:
    with PipedLog() as piped:
        stdlib_logger.addHandler(Bridge(piped.log, piped.log.limited(LineLimit(1, 10, 0.0)), lambda: 0.0))
        try:
            fail_with_a_key_at_hand("secret-key-" + "1234")
        except LookupError:
            stdlib_logger.exception("view failed")

        (line,) = piped.lines()
    assert "LookupError: \\udcff15" in line["exception"]
    assert "secret-key-1234" not in line["exception"]


def test_a_message_that_does_not_fit_its_arguments_is_still_a_line(stdlib_logger: logging.Logger) -> None:
    with PipedLog() as piped:
        stdlib_logger.addHandler(Bridge(piped.log, piped.log.limited(LineLimit(1, 10, 0.0)), lambda: 0.0))

        stdlib_logger.error("%d of \udcff", "none")

        (line,) = piped.lines()
    assert line["text"] == "%d of \\udcff"


def test_a_storm_in_the_standard_library_is_limited_and_counted(stdlib_logger: logging.Logger) -> None:
    with PipedLog() as piped:
        stdlib_logger.addHandler(Bridge(piped.log, piped.log.limited(LineLimit(1, 10, 0.0)), lambda: 0.0))

        for n in range(1000):
            stdlib_logger.error("failure %d", n)

        assert len(piped.lines()) == 10
        assert piped.log.dropped["rate_limit"] == 990


def test_configure_takes_over_the_root_logger() -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    reader, fd = os.pipe()
    try:
        log = configure(Format.JSON, LogLevel.WARNING, fd)
        logging.getLogger("aiohttp.server").info("not worth a line")
        logging.getLogger("aiohttp.server").error("worth one")

        closed = log.close(10.0)
        written = os.read(reader, 1 << 16)
    finally:
        root.handlers = handlers
        root.setLevel(level)
        os.close(reader)
        os.close(fd)

    assert closed
    assert written.count(b"\n") == 1
    assert b'"text":"worth one"' in written
