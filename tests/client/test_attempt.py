from sidecar.client.attempt import Attempt


def test_the_first_attempt_carries_only_the_key() -> None:
    attempt = Attempt(1, 10.0, "k-1", lambda: 4.0)

    assert attempt.headers == {"Idempotency-Key": "k-1"}
    assert attempt.remaining == 6.0


def test_a_retry_says_its_number() -> None:
    assert Attempt(2, 10.0, None, lambda: 4.0).headers == {"x-retry-attempt": "2"}


def test_what_remains_is_never_zero_which_means_for_ever_to_many_libraries() -> None:
    assert Attempt(1, 10.0, None, lambda: 11.0).remaining == 0.001
