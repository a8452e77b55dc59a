import pytest

from sidecar.engine.policy import RetryAfterPolicy
from sidecar.engine.pushback import pushed_back, too_long

HONOURED = RetryAfterPolicy(max=10.0)
IGNORED = RetryAfterPolicy(honour=False, max=10.0)


@pytest.mark.parametrize(
    ("retry_after", "expected"), [(None, False), (0.0, False), (10.0, False), (10.001, True), (600.0, True)]
)
def test_a_wish_over_the_maximum_is_too_long(retry_after: float | None, expected: bool) -> None:
    assert too_long(HONOURED, retry_after) is expected


def test_a_wish_that_is_ignored_is_never_too_long() -> None:
    assert not too_long(IGNORED, 600.0)


@pytest.mark.parametrize("wish", [0.0, 2.0, 10.0])
def test_the_wait_is_the_wish_plus_the_jitter(wish: float) -> None:
    assert pushed_back(HONOURED, wish, 0.25) == wish + 0.25


def test_without_a_wish_the_wait_is_the_jitter() -> None:
    assert pushed_back(HONOURED, None, 0.25) == 0.25


def test_a_wish_that_is_ignored_adds_nothing() -> None:
    assert pushed_back(IGNORED, 2.0, 0.25) == 0.25
