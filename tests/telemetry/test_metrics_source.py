"""Nothing is asked of the process that is not exported."""

from sidecar.telemetry.exporter import MetricsExporter
from sidecar.telemetry.exposition import TEXT
from sidecar.telemetry.metrics_source import MetricsSource
from tests.fakes.watched import Watched
from tests.telemetry.sources import SetMetricsSource


class WatchedSubject(Watched, SetMetricsSource):
    pass


def test_everything_a_subject_must_offer_is_read_by_a_scrape() -> None:
    source = WatchedSubject()
    offered = {name for name in vars(MetricsSource) if not name.startswith("_")}

    list(MetricsExporter(source, lambda: 0.0).slices(TEXT))

    assert offered <= source.asked
