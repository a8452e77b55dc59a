"""A bound on log lines: a token bucket, so that logging never becomes the outage."""


class LineLimit:
    """`rate` lines per second on average, `burst` at once. What is refused is counted in `dropped`."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens", "dropped")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        if rate <= 0:
            raise ValueError(f"rate: must be over 0 lines per second, got {rate!r}")
        if burst < 1:
            raise ValueError(f"burst: must be at least 1 line, got {burst!r}")
        self.dropped = 0
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at = now

    def take(self, now: float) -> bool:
        """Whether one more line may be written at `now` (seconds, monotonic)."""
        tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if tokens < 1.0:
            self._tokens = tokens
            self.dropped += 1
            return False
        self._tokens = tokens - 1.0
        return True
