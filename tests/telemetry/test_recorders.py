from sidecar.telemetry.record import ExchangeRecord
from sidecar.telemetry.recorders import Recorders
from tests.telemetry.test_history import RECORD


class Notebook:
    def __init__(self) -> None:
        self.notes: list[ExchangeRecord] = []

    def record(self, record: ExchangeRecord) -> None:
        self.notes.append(record)


def test_everybody_is_told() -> None:
    first, second = Notebook(), Notebook()

    Recorders(first, second).record(RECORD)

    assert first.notes == second.notes == [RECORD]
