"""The version of a policy: a whole number that only rises, and from which it can always rise further."""

from typing import Final

CEILING: Final = 2**53 - 1
"""The largest whole number that every reader of JSON takes to the letter (RFC 8259 §6)."""
_RESERVE: Final = 1_000_000
_STEP: Final = 1_000


def unfollowable(version: int, seen: int) -> str | None:
    """The rule that `version` breaks where it would leave no room for successors; None for most.

    The last numbers below CEILING are reached in small steps from `seen`, the highest version so far, and never by a
    jump: a version that can not be exceeded could never be taken back.
    """
    if version <= CEILING - _RESERVE or version <= seen + _STEP:
        return None
    return f"must be at most {CEILING - _RESERVE}, or follow {seen} by {_STEP} at most: nothing could ever follow it"
