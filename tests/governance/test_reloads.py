from collections.abc import Callable

import pytest

from sidecar.governance.finding import Finding, InvalidDocument
from sidecar.governance.reloads import Reloads
from sidecar.governance.snapshot import Snapshot
from tests.governance.documents import POLICY, SIDECAR, Loading

BROKEN = InvalidDocument([Finding("policy.yaml", 3, "via", "must be true or false", "1")])


def raising(error: InvalidDocument) -> Callable[[], Snapshot]:
    def load() -> Snapshot:
        raise error

    return load


@pytest.fixture
def reloads(loading: Loading) -> Reloads:
    return Reloads(loading(), in_force_since=100.0)


def test_a_good_reload_is_in_force_from_then_on(reloads: Reloads, loading: Loading) -> None:
    newer = loading(policy=POLICY.replace("7", "8"))

    result = reloads.attempt(lambda: newer, now=200.0)

    assert result is newer
    assert reloads.snapshot is newer
    assert (reloads.successes, reloads.failures, reloads.in_force_since) == (1, 0, 200.0)


def test_a_reload_of_the_same_bytes_changes_nothing(reloads: Reloads, loading: Loading) -> None:
    before = reloads.snapshot

    result = reloads.attempt(loading, now=200.0)

    assert result is before
    assert (reloads.successes, reloads.in_force_since, reloads.last_attempt) == (1, 100.0, 200.0)


def test_the_last_good_snapshot_stays_when_the_new_one_is_broken(reloads: Reloads) -> None:
    before = reloads.snapshot

    result = reloads.attempt(raising(BROKEN), now=200.0)

    assert result == BROKEN.findings
    assert reloads.snapshot is before
    assert (reloads.successes, reloads.failures, reloads.in_force_since) == (0, 1, 100.0)
    assert reloads.last_error == "policy.yaml:3: via: must be true or false, got 1"


def test_a_good_reload_takes_the_error_back(reloads: Reloads, loading: Loading) -> None:
    reloads.attempt(raising(BROKEN), now=200.0)

    reloads.attempt(lambda: loading(sidecar=SIDECAR + "drain: 5s\n"), now=300.0)

    assert reloads.last_error is None
    assert (reloads.successes, reloads.failures, reloads.last_attempt) == (1, 1, 300.0)
    assert reloads.snapshot.drain == 5.0
