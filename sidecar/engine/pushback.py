"""The server's wish to wait, and what it makes of a back-off."""

from sidecar.engine.policy import RetryAfterPolicy


def too_long(policy: RetryAfterPolicy, retry_after: float | None) -> bool:
    """Whether the wait asked for exceeds the policy's bound: then the retry is refused, never made early."""
    return policy.honour and retry_after is not None and retry_after > policy.max


def pushed_back(policy: RetryAfterPolicy, retry_after: float | None, jitter: float) -> float:
    """Seconds to wait: the wish plus the jitter, so that a fleet told "2 s" does not come back in lockstep."""
    return jitter if retry_after is None or not policy.honour else retry_after + jitter
