"""The metrics of a client's destinations in a registry of prometheus_client."""

from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.engine.destination import Destination
from sidecar.engine.outcome import Result
from sidecar.engine.policy import DestinationPolicy
from sidecar.engine.retry import RetryState
from sidecar.telemetry.collector import DestinationCollector
from sidecar.telemetry.metrics import METRICS


class One:
    """A source with one destination, which has answered once."""

    def __init__(self) -> None:
        it = Destination("payments", DestinationPolicy(), lambda: 0.5, 0.0)
        exchange = RetryState(it, 0.0, 0.0)
        exchange.admit(0.0)
        exchange.on_status(0.2, 200, None)
        exchange.finish(0.2, Result.SUCCESS)
        self.destinations: Mapping[str, Destination] = {"payments": it}


def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    made.register(DestinationCollector(One(), lambda: 1.0))
    return made


def test_counts_have_the_sidecars_names_and_labels() -> None:
    it = registry()

    assert it.get_sample_value("sidecar_requests_total", {"destination": "payments", "outcome": "success"}) == 1.0
    assert (
        it.get_sample_value(
            "sidecar_attempts_total", {"destination": "payments", "kind": "first", "outcome": "success"}
        )
        == 1.0
    )


def test_histograms_are_cumulative() -> None:
    it = registry()
    name = "sidecar_request_duration_seconds"

    assert it.get_sample_value(f"{name}_bucket", {"destination": "payments", "le": "+Inf"}) == 1.0
    assert it.get_sample_value(f"{name}_count", {"destination": "payments"}) == 1.0
    assert it.get_sample_value(f"{name}_sum", {"destination": "payments"}) == pytest.approx(0.2)


def test_every_metric_of_a_destination_is_there_but_that_of_connections() -> None:
    text = generate_latest(registry()).decode()

    names = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
    expected = {metric.name for metric in METRICS if metric.sample is not None} - {"sidecar_connections"}
    optional = {name for name in expected if name not in names}
    assert all(name in text for name in optional)  # nothing has happened yet that they could count


def test_a_second_registration_is_refused() -> None:
    it = registry()

    with pytest.raises(ValueError, match="Duplicated"):
        it.register(DestinationCollector(One()))
