import pytest

from sidecar.migration.retry_conditions import retry_conditions


def test_5xx_is_the_gateway_statuses_and_every_fault_and_says_that_500_was_among_them() -> None:
    found = retry_conditions("5xx")

    assert found.statuses == [502, 503, 504]
    assert found.faults == ["connect_failure", "reset", "timeout"]
    assert found.repeats_500
    assert found.repeats_executed


@pytest.mark.parametrize("word", ["connect-failure", "refused-stream", "reset-before-request"])
def test_what_was_never_sent_repeats_nothing(word: str) -> None:
    found = retry_conditions(word)

    assert (found.faults, found.statuses, found.repeats_executed) == (["connect_failure"], [], False)


def test_words_are_read_in_any_case_with_spaces_and_numbers_among_them() -> None:
    assert retry_conditions(" 503 , Gateway-Error,429").statuses == [429, 502, 503, 504]


@pytest.mark.parametrize("word", ["retriable-4xx", "retriable-headers", "unavailable", "envoy-ratelimited", "nonsense"])
def test_what_has_no_equal_is_left_with_its_reason(word: str) -> None:
    assert retry_conditions(word).left[word]
