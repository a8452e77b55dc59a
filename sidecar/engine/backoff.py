"""Full jitter: how long to wait before trying again, so that callers do not come back together."""

from collections.abc import Callable

from sidecar.engine.policy import BackoffPolicy


def full_jitter(policy: BackoffPolicy, failures: int, rand: Callable[[], float]) -> float:
    """Seconds, U(0, min(max, base * 2^(failures-1))), after `failures` >= 1 failed attempts.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return rand() * min(policy.max, policy.base * 2.0 ** min(failures - 1, 60))
