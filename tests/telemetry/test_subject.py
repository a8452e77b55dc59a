"""Nothing is asked of the process that is not exported."""

from sidecar.telemetry.exporter import Exporter
from sidecar.telemetry.exposition import TEXT
from sidecar.telemetry.subject import Subject
from tests.fakes.watched import Watched
from tests.telemetry.subjects import SetSubject


class WatchedSubject(Watched, SetSubject):
    pass


def test_everything_a_subject_must_offer_is_read_by_a_scrape() -> None:
    subject = WatchedSubject()
    offered = {name for name in vars(Subject) if not name.startswith("_")}

    list(Exporter(subject, lambda: 0.0).slices(TEXT))

    assert offered <= subject.asked
