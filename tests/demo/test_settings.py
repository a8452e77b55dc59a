from pathlib import Path

from sidecar.demo import settings
from sidecar.demo.script import FULL
from sidecar.engine.policy import DestinationPolicy
from sidecar.governance.policy.snapshot import load
from tests.fakes.documents import NOW


def test_the_documents_are_what_the_sidecar_takes(tmp_path: Path) -> None:
    document = settings.write(tmp_path, FULL, admin=1600, egress=1601, port=1602, dependency=9001)

    snapshot = load(document, NOW)

    destination = snapshot.destinations[settings.DESTINATION]
    assert [str(endpoint) for endpoint in destination.endpoints] == ["http://127.0.0.1:9001"]
    assert destination.listen == ("127.0.0.1:1602",)


def test_only_the_two_times_differ_from_the_defaults_of_the_engine(tmp_path: Path) -> None:
    document = settings.write(tmp_path, FULL, admin=1600, egress=1601, port=1602, dependency=9001)

    policy = load(document, NOW).destinations[settings.DESTINATION].policy

    assert policy == DestinationPolicy(timeout=FULL.deadline, per_attempt_timeout=FULL.per_try)
