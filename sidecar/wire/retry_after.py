"""Retry-After (RFC 9110 §10.2.3) in both its forms, to seconds from now."""

from datetime import UTC
from email.utils import parsedate_to_datetime


def parse_retry_after(value: bytes, date: bytes, wall: float) -> float | None:
    """Seconds to wait, never negative; None for what is neither form, which is then ignored.

    An HTTP-date counts from the response's own `date` when it has a valid one, else from `wall` (seconds since 1970,
    UTC): the server's clock is the one that wrote both.
    """
    text = value.strip(b" \t")
    if text.isdigit():
        return float(text) if len(text) < 16 else float("inf")
    until = _instant(text)
    if until is None:
        return None
    sent = _instant(date.strip(b" \t"))
    return max(0.0, until - (wall if sent is None else sent))


def _instant(text: bytes) -> float | None:
    """An HTTP-date (RFC 9110 §5.6.7) as seconds since 1970, or None."""
    if not text or len(text) > 64:
        return None
    try:
        moment = parsedate_to_datetime(text.decode("ascii"))
        # HTTP-dates are in GMT, though asctime's form does not say so.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
