"""A log whose lines the test reads from a pipe."""

import json
import os
from types import TracebackType
from typing import Any, Self

from sidecar.telemetry.log import Format, Log, LogLevel


class PipedLog:
    def __init__(self, style: Format = Format.JSON, level: LogLevel = LogLevel.INFO) -> None:
        self._reader, self.fd = os.pipe()
        self.log = Log(style, level, self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.log.writer.close(10.0)
        os.close(self._reader)
        os.close(self.fd)

    def text(self) -> str:
        """Everything written, once the log is closed (which a test that reads more than a pipe holds must not do)."""
        assert self.log.writer.close(10.0)
        os.set_blocking(self._reader, False)
        blocks = []
        try:
            while True:
                blocks.append(os.read(self._reader, 1 << 16))
        except BlockingIOError:
            return b"".join(blocks).decode()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]
