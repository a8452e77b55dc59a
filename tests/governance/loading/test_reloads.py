import pytest

from sidecar.governance.documents.finding import Finding
from sidecar.governance.loading.reloads import Reloads
from tests.fakes.documents import POLICY, SIDECAR, Loading

BROKEN = (Finding("policy.yaml", 3, "via", "must be true or false", "1"),)


@pytest.fixture
def reloads(loading: Loading) -> Reloads:
    return Reloads(loading(), in_force_since=100.0)


def test_a_good_reload_is_in_force_from_then_on(reloads: Reloads, loading: Loading) -> None:
    newer = loading(policy=POLICY.replace("7", "8"))

    changed = reloads.succeeded(newer, now=200.0)

    assert changed
    assert reloads.snapshot is newer
    assert (reloads.successes, reloads.failures, reloads.in_force_since) == (1, 0, 200.0)


def test_a_reload_of_the_same_bytes_is_counted_and_changes_nothing(reloads: Reloads, loading: Loading) -> None:
    changed = reloads.succeeded(loading(), now=200.0)

    assert not changed
    assert (reloads.successes, reloads.in_force_since) == (1, 100.0)


def test_the_last_good_snapshot_stays_when_the_new_one_is_broken(reloads: Reloads) -> None:
    before = reloads.snapshot

    reloads.failed(BROKEN)

    assert reloads.snapshot is before
    assert (reloads.successes, reloads.failures, reloads.in_force_since) == (0, 1, 100.0)
    assert reloads.last_error == "policy.yaml:3: via: must be true or false, got 1"


def test_the_same_fault_again_is_counted_and_no_news(reloads: Reloads) -> None:
    first = reloads.failed(BROKEN)
    again = reloads.failed(BROKEN)
    other = reloads.failed((Finding("policy.yaml", None, "", "can not be read: gone"),))

    assert (first, again, other) == (True, False, True)
    assert reloads.failures == 3


def test_a_good_reload_takes_the_error_back(reloads: Reloads, loading: Loading) -> None:
    reloads.failed(BROKEN)

    reloads.succeeded(loading(sidecar=SIDECAR + "drain: 5s\n"), now=300.0)

    assert reloads.last_error is None
    assert (reloads.successes, reloads.failures) == (1, 1)
    assert reloads.snapshot.drain == 5.0
