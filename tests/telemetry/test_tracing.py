"""A queue that is bounded, an exporter that may fail or hang, and traffic that notices neither."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from sidecar.telemetry import tracing
from sidecar.telemetry.trace import ExchangeTrace
from sidecar.telemetry.tracing import Tracing, TracingUnavailable, open_tracing
from tests.fakes.waiting import WITHIN, wait_until
from tests.telemetry.traces import TRACE

SPANS = 2


@dataclass
class Receiver:
    """An exporter that takes what it is told to take, when it is let."""

    takes: bool = True
    open: threading.Event = field(default_factory=threading.Event)
    got: list[ExchangeTrace] = field(default_factory=list)
    batches: int = 0
    busy: threading.Event = field(default_factory=threading.Event)
    closed: int = 0

    def __post_init__(self) -> None:
        self.open.set()

    def export(self, traces: Sequence[ExchangeTrace]) -> bool:
        self.busy.set()
        self.open.wait()
        self.batches += 1
        if self.takes:
            self.got += traces
        return self.takes

    def close(self) -> None:
        self.closed += 1
        self.open.set()


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "LINGER_SECONDS", 0.01)
    monkeypatch.setattr(tracing, "SPANS_PER_SECOND", 1e6)


def test_what_is_recorded_is_exported_and_counted() -> None:
    receiver = Receiver()
    traces = Tracing(0.0, lambda: receiver)

    sent = [replace(TRACE, trace_id=n) for n in range(1, 101)]
    for trace in sent:
        traces.record(trace)
    wait_until(lambda: len(receiver.got) == 100)

    assert traces.close(5.0)
    assert receiver.got == sent
    assert traces.spans == {"exported": 100 * SPANS, "failed": 0, "dropped": 0}


def test_batches_are_small_so_that_the_loop_never_waits_long() -> None:
    receiver = Receiver()
    traces = Tracing(0.0, lambda: receiver)

    for _ in range(tracing.BATCH_TRACES * 3):
        traces.record(TRACE)

    assert traces.close(5.0)
    assert receiver.batches >= 3


def test_an_exporter_that_hangs_costs_spans_and_nothing_else() -> None:
    receiver = Receiver()
    receiver.open.clear()
    traces = Tracing(0.0, lambda: receiver, queue_spans=100)
    traces.record(TRACE)
    assert receiver.busy.wait(5)

    for _ in range(10_000):
        traces.record(TRACE)

    assert traces.dropped == 10_001 * SPANS - 100
    receiver.open.set()
    assert traces.close(5.0)
    assert traces.exported == 100


def test_what_has_been_sent_makes_room_again() -> None:
    receiver = Receiver()
    traces = Tracing(0.0, lambda: receiver, queue_spans=10)

    for n in range(1, 21):
        traces.record(TRACE)
        wait_until(lambda n=n: traces.exported == n * SPANS)  # type: ignore[misc]

    assert traces.close(5.0)
    assert traces.dropped == 0


def test_a_receiver_that_refuses_is_given_pauses_and_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracing, "MIN_PAUSE_SECONDS", 0.2)
    receiver = Receiver(takes=False)
    traces = Tracing(0.0, lambda: receiver)

    for _ in range(tracing.BATCH_TRACES * 4):
        traces.record(TRACE)
    wait_until(lambda: receiver.batches == 2)
    between = traces.spans
    receiver.takes = True
    wait_until(lambda: traces.exported > 0)

    assert traces.close(5.0)
    assert between["failed"] <= 2 * tracing.BATCH_TRACES * SPANS
    assert receiver.batches == 4
    assert [record.getMessage() for record in caplog.records] == [
        "traces could not be exported; trying again in 0 s",
        "traces could not be exported; trying again in 0 s",
    ]


def test_closing_does_not_wait_for_an_exporter_that_hangs() -> None:
    receiver = Receiver()
    receiver.open.clear()
    traces = Tracing(0.0, lambda: receiver)
    traces.record(TRACE)
    assert receiver.busy.wait(5)

    traces.close(0.1)

    assert receiver.closed >= 1


def test_closing_gives_up_what_a_receiver_refuses() -> None:
    receiver = Receiver(takes=False)
    traces = Tracing(0.0, lambda: receiver)
    for _ in range(tracing.BATCH_TRACES * 2):
        traces.record(TRACE)

    everything = traces.close(WITHIN)

    assert not everything
    assert traces.failed < SPANS * tracing.BATCH_TRACES * 2  # it was not tried again for all that time


def test_nothing_is_taken_after_closing() -> None:
    receiver = Receiver()
    traces = Tracing(0.0, lambda: receiver)
    assert traces.close(5.0)

    traces.record(TRACE)

    assert traces.dropped == SPANS
    assert receiver.got == []


@pytest.mark.parametrize(("sample", "least", "most"), [(0.0, 0, 0), (1.0, 1000, 1000), (0.1, 50, 160)])
def test_a_share_of_the_requests_begins_a_trace(sample: float, least: int, most: int) -> None:
    traces = Tracing(sample, Receiver)

    begun = sum(traces.begins() for _ in range(1000))

    assert traces.close(5.0)
    assert least <= begun <= most


def test_without_the_extra_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "_EXTRA", "opentelemetry_that_is_not_there.exporter")

    with pytest.raises(TracingUnavailable, match=r"pip install 'retry-sidecar\[otel\]'"):
        open_tracing("http://127.0.0.1:4318/v1/traces", 0.0, "checkout")
