import pytest

from sidecar.governance.documents.version import CEILING, unfollowable


@pytest.mark.parametrize("version", [1, 7, 20261124120000, 1_764_000_000_000_000, CEILING - 1_000_000])
def test_any_scheme_of_versions_may_begin_at_any_time(version: int) -> None:
    assert unfollowable(version, 0) is None


@pytest.mark.parametrize("version", [CEILING, CEILING - 1, CEILING - 999_999])
def test_no_jump_goes_where_nothing_could_follow(version: int) -> None:
    rule = unfollowable(version, 7)

    assert rule is not None
    assert rule.endswith("nothing could ever follow it")


def test_the_last_numbers_are_reached_in_small_steps() -> None:
    last = CEILING - 500_000

    assert unfollowable(last + 1000, last) is None
    assert unfollowable(last + 1001, last) is not None
    assert unfollowable(last, last) is None
