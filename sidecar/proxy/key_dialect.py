"""How a destination that honours idempotency keys wants them: the header's name, and the key bare or quoted.

A write without a key gets one of its own, a UUIDv4 (RFC 9562 §5.4), before its first attempt; all its attempts carry
it, so that the destination executes them once. A key of the service's own is never replaced. It protects the sidecar's
own retries: when the service tries again, that is another request with another key.
"""

from copy import copy
from typing import Final
from uuid import uuid4

from sidecar.engine.policy import DestinationPolicy
from sidecar.governance.documents.document import IdempotencyKeySettings
from sidecar.idempotency.key import field_values
from sidecar.wire.head import RequestHead

UNSAFE_METHODS: Final = frozenset((b"POST", b"PATCH"))
"""Methods that are not idempotent by themselves (RFC 9110 §9.2.2)."""
MIN_KEY_CHARACTERS: Final = 32
"""Of a UUID in hexadecimal, without its hyphens."""
_UUID_CHARACTERS: Final = 36


def dialect_of(key: IdempotencyKeySettings, policy: DestinationPolicy) -> "KeyDialect | None":
    """The dialect of a destination's documents; None where it does not honour keys."""
    if not policy.honours_keys:
        return None
    return KeyDialect(key.header, quoted=key.form == "quoted", max_length=key.max_length)


class KeyDialect:
    """One destination's. `header` is as it is written on the wire."""

    __slots__ = ("_line", "_name", "_short")

    def __init__(self, header: str, *, quoted: bool = False, max_length: int = 255) -> None:
        self._name = header.lower().encode("ascii")
        value = b'"%b"' if quoted else b"%b"
        self._line = header.encode("ascii") + b": " + value + b"\r\n"
        self._short = max_length < _UUID_CHARACTERS

    def keyed(self, head: RequestHead) -> RequestHead:
        """The head with a key: itself where it has one, or where its method is idempotent; else a copy.

        Of several keys it is not known which one the destination uses: such a request is sent as it is, once.
        """
        if head.method not in UNSAFE_METHODS:
            return head
        found = field_values(head.fields, self._name)
        if found:
            if head.keyed == (len(found) == 1):
                return head
            head = copy(head)
            head.keyed = len(found) == 1 and bool(found[0])
            return head
        key = uuid4()
        line = self._line % (key.hex if self._short else str(key)).encode("ascii")
        head = copy(head)
        head.fields += line
        head.onward += line
        head.keyed = True
        return head
