"""The destination's metrics of any host of the engine, for a registry of prometheus_client.

The client library has no exporter of its own: a program that has one registers this, and gets the sidecar's names.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Final, Protocol

from prometheus_client import Metric as Family
from prometheus_client.registry import Collector

from sidecar.engine.destination import Destination
from sidecar.engine.histogram import SECONDS
from sidecar.telemetry.metrics import METRICS, DestinationSample
from sidecar.telemetry.metrics_source import Connections

_NO_CONNECTIONS: Final = Connections(downstream=0, tunnels=0, active={}, idle={})
_CONNECTIONS: Final = "sidecar_connections"
"""A library's pool is its own: it is not told of connections."""


class DestinationSource(Protocol):
    """An owner of destinations, by name: `sidecar.client.Retries`."""

    @property
    def destinations(self) -> Mapping[str, Destination]:
        """The engine's state, by the label value."""


class DestinationCollector(Collector):
    """`REGISTRY.register(DestinationCollector(retries))`. Read when the registry is."""

    def __init__(self, source: DestinationSource, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock

    def describe(self) -> Iterable[Family]:
        """The names, so that a second registration is refused before anything is read."""
        return [Family(metric.name, metric.help, metric.kind.value) for metric in _OF_DESTINATIONS]

    def collect(self) -> Iterable[Family]:
        """Every metric that a destination has, of every destination."""
        now = self._clock()
        samples = [
            DestinationSample(name, destination, _NO_CONNECTIONS, now)
            for name, destination in self._source.destinations.items()
        ]
        for metric in _OF_DESTINATIONS:
            family = Family(metric.name, metric.help, metric.kind.value)
            for sample in samples:
                if metric.sample is not None:
                    for labels, value in metric.sample(sample):
                        named = dict(zip(metric.label_names, (sample.name, *labels), strict=True))
                        family.add_sample(metric.name, named, float(value))
                elif metric.histogram is not None:
                    histogram = metric.histogram(sample.destination)
                    counts = list(accumulate(histogram.counts))
                    for bound, count in zip((*map(repr, SECONDS), "+Inf"), counts, strict=True):
                        family.add_sample(
                            f"{metric.name}_bucket", {"destination": sample.name, "le": bound}, float(count)
                        )
                    family.add_sample(f"{metric.name}_count", {"destination": sample.name}, float(counts[-1]))
                    family.add_sample(f"{metric.name}_sum", {"destination": sample.name}, histogram.sum)
            yield family


_OF_DESTINATIONS: Final = tuple(
    metric
    for metric in METRICS
    if (metric.sample is not None or metric.histogram is not None) and metric.name != _CONNECTIONS
)
