"""All recorders of notable exchanges, as one."""

from typing import Protocol

from sidecar.telemetry.record import ExchangeRecord


class Recorder(Protocol):
    """As `proxy.context.ExchangeRecorder`: siblings do not know each other."""

    def record(self, record: ExchangeRecord) -> None:
        """Take note; must not block."""


class Recorders:
    """Tells each of `recorders`, in order."""

    __slots__ = ("_recorders",)

    def __init__(self, *recorders: Recorder) -> None:
        self._recorders = recorders

    def record(self, record: ExchangeRecord) -> None:
        """Tell them all."""
        for recorder in self._recorders:
            recorder.record(record)
