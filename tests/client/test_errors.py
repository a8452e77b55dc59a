import pickle

from sidecar.client.errors import CallFailed, CallRefused, CallTimedOut
from sidecar.engine.verdict import Refusal


def test_a_failure_carries_the_words_of_the_refusal_page() -> None:
    error = CallFailed("payments: 503", destination="payments", attempts=2, refusal=Refusal.BUDGET_EXHAUSTED)

    assert (error.destination, error.attempts, error.refusal) == ("payments", 2, "budget_exhausted")
    assert error.last_response is None


def test_one_except_clause_catches_them_all() -> None:
    assert issubclass(CallRefused, CallFailed)
    assert issubclass(CallTimedOut, CallFailed)


def test_a_failure_crosses_processes() -> None:
    error = CallRefused("payments: not sent", destination="payments", attempts=0, refusal=Refusal.BREAKER_OPEN)
    error.retry_after = 2.5

    twin = pickle.loads(pickle.dumps(error))

    assert str(twin) == "payments: not sent"
    assert (twin.destination, twin.attempts, twin.refusal, twin.retry_after) == ("payments", 0, "breaker_open", 2.5)
