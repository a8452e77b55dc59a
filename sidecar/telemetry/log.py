"""The process's log: JSON lines for machines or coloured ones for people, on one descriptor, never waited for.

Everything that is written passes here: exchanges (`access_log`), the life of the process (`lifecycle`) and whatever the
standard library's loggers say, which would otherwise write to stderr themselves and wait for its reader.
"""

import logging
import time
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from enum import Enum
from typing import Any, Final

import msgspec

from sidecar.telemetry.line_limit import LineLimit
from sidecar.telemetry.line_writer import LineWriter
from sidecar.telemetry.plain_structlog import structlog

STDERR: Final = 2
MESSAGES_PER_SECOND: Final = 20.0
MESSAGES_BURST: Final = 100


class Format(Enum):
    """The forms of a line."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(Enum):
    """The least severe line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def number(self) -> int:
        """The standard library's number for it."""
        return logging.getLevelNamesMapping()[self.value.upper()]


class Log:
    """A structlog logger (`logger`), the writer behind it, and what both have dropped."""

    def __init__(self, style: Format, level: LogLevel, fd: int = STDERR, *, colours: bool = False) -> None:
        self.writer = LineWriter(fd)
        self.logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
            _Sink(self.writer),
            processors=_processors(style, colours=colours),
            wrapper_class=structlog.make_filtering_bound_logger(level.number),
        ).bind()
        self._limits: list[LineLimit] = []
        self._reported = 0

    def limited(self, limit: LineLimit) -> LineLimit:
        """Count what `limit` drops among this log's dropped lines."""
        self._limits.append(limit)
        return limit

    def lifecycle(self, event: str, **fields: object) -> None:
        """One line about the process itself (`start`, `reload`, `drain`, `stop`), never subject to a limit."""
        self.logger.info(event, **fields)

    @property
    def dropped(self) -> Mapping[str, int]:
        """Lines dropped since the start, by reason: `rate_limit`, or `backpressure`: the reader was too slow."""
        return {
            "rate_limit": sum(limit.dropped for limit in self._limits),
            "backpressure": self.writer.dropped,
        }

    @property
    def unreported(self) -> int:
        """Lines dropped that no line has told of yet."""
        return sum(self.dropped.values()) - self._reported

    def report_dropped(self) -> None:
        """Write one line with the number of lines dropped since the last such line; nothing when there were none."""
        count = self.unreported
        if count and self.logger.warning("lines_dropped", dropped=count) is not False:
            self._reported += count

    def close(self, timeout: float = 1.0) -> bool:
        """Report what was dropped and wait at most `timeout` seconds for the reader. True if everything was written."""
        self.report_dropped()
        return self.writer.close(timeout)


def configure(style: Format, level: LogLevel, fd: int = STDERR, *, colours: bool = False) -> Log:
    """Make the log of this process, and send what the standard library's loggers say to it as well."""
    log = Log(style, level, fd, colours=colours)
    limit = log.limited(LineLimit(MESSAGES_PER_SECOND, MESSAGES_BURST, time.monotonic()))
    logging.basicConfig(handlers=[Bridge(log, limit, time.monotonic)], level=level.number, force=True)
    # It tells of every event in a directory, and the reload logs the outcome.
    logging.getLogger("watchfiles").setLevel(max(logging.WARNING, level.number))
    return log


class Bridge(logging.Handler):
    """Takes the standard library's records into a Log, under a limit of their own."""

    def __init__(self, log: Log, limit: LineLimit, clock: Callable[[], float]) -> None:
        super().__init__()
        self._log = log
        self._limit = limit
        self._clock = clock

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record as a line; a message that can not be formatted is shown as it was given."""
        if not self._limit.take(self._clock()):
            return
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info and record.exc_info[1]:
            # Without local variables: they hold headers and keys.
            fields["exception"] = _encodable("".join(traceback.format_exception(record.exc_info[1])))
        self._log.logger.log(record.levelno, "message", text=_encodable(message), **fields)


class _Sink:
    """The logger behind structlog: it gets rendered lines, and says whether there was room for them."""

    def __init__(self, writer: LineWriter) -> None:
        self._write = writer.write

    def msg(self, line: bytes) -> bool:
        return self._write(line)

    debug = info = warning = error = critical = msg


def _processors(style: Format, *, colours: bool) -> list[structlog.typing.Processor]:
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    match style:
        case Format.JSON:
            return [*shared, _render_json]
        case Format.CONSOLE:
            console = structlog.dev.ConsoleRenderer(
                colors=colours, exception_formatter=structlog.dev.plain_traceback, sort_keys=False
            )
            return [*shared, _columns, console, _encode]


def _encodable(text: str) -> str:
    """Without the lone surrogates that undecodable file names become."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


_encoder = msgspec.json.Encoder(enc_hook=str)


def _render_json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> bytes:
    # structlog adds these last; a person who reads JSON wants them first.
    line = {"timestamp": event.pop("timestamp"), "level": event.pop("level"), "event": event.pop("event")}
    line.update(event)
    return _encoder.encode(line)


def _columns(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    # One column per attempt reads better than a list of mappings.
    for attempt in event.pop("attempts", ()):
        n = attempt.pop("n")
        event[f"attempt_{n}"] = " ".join(
            f"{value}" if key == "outcome" else f"{key}={value}" for key, value in attempt.items()
        )
    return event


def _encode(_logger: object, _method: str, event: Any) -> bytes:
    return str(event).encode("utf-8", "backslashreplace")
