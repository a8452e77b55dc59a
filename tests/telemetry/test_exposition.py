"""What is written is what prometheus_client writes."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from sidecar.telemetry.exposition import OPENMETRICS, TEXT, encode, ending, negotiate


class OneOfEach(Collector):
    def collect(self) -> Iterator[Metric]:
        counter = CounterMetricFamily("things_total", 'Things "seen", one \\ two\nthree.', labels=["kind", "zone"])
        counter.add_metric(["plain", "a"], 3.0)
        counter.add_metric(['quo"te', "back\\slash\nline"], 0.5)
        yield counter
        gauge = GaugeMetricFamily("level", "Level.", labels=["edge"])
        for edge, value in (("inf", float("inf")), ("-inf", float("-inf")), ("nan", float("nan")), ("small", 1e-9)):
            gauge.add_metric([edge], value)
        yield gauge
        yield GaugeMetricFamily("bare", "No labels.", value=1.25)
        histogram = HistogramMetricFamily("wait_seconds", "Waiting.", labels=["destination"])
        histogram.add_metric(["payments"], [("0.1", 1.0), ("+Inf", 4.0)], 2.5)
        yield histogram


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(OneOfEach())
    return registry


def test_the_classic_text_is_what_prometheus_client_writes(registry: CollectorRegistry) -> None:
    written = encode(registry, TEXT) + ending(TEXT)

    assert written.decode() == generate_latest(registry).decode()


def test_openmetrics_is_what_prometheus_client_writes(registry: CollectorRegistry) -> None:
    written = encode(registry, OPENMETRICS) + ending(OPENMETRICS)

    assert written.decode() == openmetrics.generate_latest(registry).decode()  # type: ignore[no-untyped-call]


def test_a_whole_number_is_written_without_a_fraction() -> None:
    registry = CollectorRegistry()
    registry.register(_Ten())

    assert b"ten 10\n" in encode(registry, TEXT) + ending(TEXT)


class _Ten(Collector):
    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("ten", "Ten.", value=10)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4", OPENMETRICS),
    ],
)
def test_openmetrics_is_for_those_who_name_it(accept: str, content_type: str) -> None:
    assert negotiate(accept) == content_type
