"""The process's log: JSON lines for machines or coloured ones for people, on one descriptor, never waited for.

Everything that is written passes here: exchanges (`access_log`), the life of the process (`lifecycle`) and whatever the
standard library's loggers say, which would otherwise write to stderr themselves and wait for its reader.
"""

import importlib
import logging
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

import msgspec

from sidecar.telemetry.line_limit import LineLimit
from sidecar.telemetry.line_writer import LineWriter

_CONSOLE: Final = "sidecar.telemetry.console_lines"
"""With structlog, which is 2.5 MB and a twentieth of the start: a pod's log has no use for it."""

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


class EventLogger:
    """Writes events of at least one level as lines. Each call says whether there was room for its line."""

    __slots__ = ("_least", "_render", "_write")

    def __init__(
        self, write: Callable[[bytes], bool], render: Callable[[dict[str, Any]], bytes], least: LogLevel
    ) -> None:
        """`render` makes a line of `timestamp`, `level`, `event` and the fields of an event, in this order."""
        self._write = write
        self._render = render
        self._least = least.number

    def is_enabled_for(self, level: int) -> bool:
        """Whether events of this level, a number of the standard library, are written."""
        return level >= self._least

    def log(self, level: int, event: str, **fields: Any) -> bool:
        """One event. True for one that is not severe enough to be written."""
        if level < self._least:
            return True
        stamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        return self._write(self._render({"timestamp": stamp, "level": _word(level), "event": event, **fields}))

    def warning(self, event: str, **fields: Any) -> bool:
        """One event that an operator should know of."""
        return self.log(logging.WARNING, event, **fields)

    def error(self, event: str, **fields: Any) -> bool:
        """One event that an operator should do something about."""
        return self.log(logging.ERROR, event, **fields)


class Log:
    """The logger of events (`logger`), the writer behind it, and what both have dropped."""

    def __init__(self, style: Format, level: LogLevel, fd: int = STDERR, *, colours: bool = False) -> None:
        self.writer = LineWriter(fd)
        self.logger = EventLogger(self.writer.write, _renderer(style, colours=colours), level)
        self._limits: list[LineLimit] = []
        self._reported = 0

    def limited(self, limit: LineLimit) -> LineLimit:
        """Count what `limit` drops among this log's dropped lines."""
        self._limits.append(limit)
        return limit

    def lifecycle(self, event: str, **fields: object) -> None:
        """One line about the process itself (`start`, `reload`, `drain`, `stop`), never subject to a limit."""
        self.logger.log(logging.INFO, event, **fields)

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
        if count and self.logger.warning("lines_dropped", dropped=count):
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


def _word(level: int) -> str:
    """The name of a level; of one between two, the lesser's."""
    return next(name for least, name in _WORDS if level >= least)


_WORDS: Final = ((50, "critical"), (40, "error"), (30, "warning"), (20, "info"), (0, "debug"))


def _renderer(style: Format, *, colours: bool) -> Callable[[dict[str, Any]], bytes]:
    match style:
        case Format.JSON:
            return msgspec.json.Encoder(enc_hook=str).encode
        case Format.CONSOLE:
            rendered: Callable[[dict[str, Any]], bytes] = importlib.import_module(_CONSOLE).renderer(colours=colours)
            return rendered


def _encodable(text: str) -> str:
    """Without the lone surrogates that undecodable file names become."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
