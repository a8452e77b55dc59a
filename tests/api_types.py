"""The client's types as a program sees them: checked by mypy --strict (`make lint`), never run."""

from collections.abc import Awaitable, Callable
from typing import assert_type

from sidecar.client import Attempt, CallFailed, Failure, GovernedDestination, Retries, load, of_values
from sidecar.client.retries import Retries as RetriesClass

retries = load("sidecar.yaml")
assert_type(retries, RetriesClass)
assert_type(retries["payments"], GovernedDestination)
assert_type(of_values("checkout", {"payments": {}}), Retries)


def number(attempt: Attempt) -> int:
    return attempt.number


async def text(attempt: Attempt) -> str:
    return str(attempt.number)


def classify(error: Exception) -> Failure | None:
    return Failure(status=503, retry_after=1.0) if isinstance(error, OSError) else None


def use(payments: GovernedDestination) -> None:
    assert_type(payments.call(number), int)
    assert_type(payments.call(number, idempotent=True, classify=classify), int)
    assert_type(payments.call(lambda attempt: attempt.headers, idempotency_key="order-17"), dict[str, str])
    payments.call(number, max_attempts=5)  # type: ignore[call-arg]
    payments.call(number, backoff=1.0)  # type: ignore[call-arg]
    payments.call(number, budget=None)  # type: ignore[call-arg]
    Failure(fault="slow")  # type: ignore[arg-type]


async def use_async(payments: GovernedDestination, function: Callable[[Attempt], Awaitable[bytes]]) -> None:
    assert_type(await payments.call_async(text, idempotency_key=True), str)
    assert_type(await payments.call_async(function), bytes)


def tell(error: CallFailed) -> None:
    assert_type(error.refusal, str | None)
    assert_type(error.attempts, int)
