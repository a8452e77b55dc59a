"""The form of idempotency keys at a destination that honours them: their place, their source, their bounds.

A write without a key gets one before its first attempt; all its attempts carry it, so that the destination executes
them once. A key of the service's own is never replaced. The key is a UUIDv4 (RFC 9562 §5.4), which protects the
sidecar's own retries alone: when the service tries again, that is another request with another key. With `key_from` it
is a value of the request itself, such as an event's id, and the service's own retry carries it too.
"""

import re
from copy import copy
from typing import Final

from sidecar.engine.policy import DestinationPolicy
from sidecar.governance.documents.egress_keys import IdempotencyKeySettings
from sidecar.governance.documents.json_pointer import JsonPointer
from sidecar.governance.documents.key_presets import KeyCharset
from sidecar.idempotency.fingerprint import RequestBody, is_json_type
from sidecar.idempotency.json_insertion import inserted
from sidecar.idempotency.key import field_values
from sidecar.idempotency.key_form import DIGESTED, KeyForm
from sidecar.idempotency.pointer import ABSENT, value_at
from sidecar.wire.framing import LENGTH, NONE
from sidecar.wire.head import RequestHead
from sidecar.wire.writer import request_head

UNSAFE_METHODS: Final = frozenset((b"POST", b"PATCH"))
"""Methods that are not idempotent by themselves (RFC 9110 §9.2.2)."""
_LENGTH_LINE: Final = re.compile(rb"(?im)^(content-length:[ \t]*)[0-9]+")


def dialect_of(key: IdempotencyKeySettings, policy: DestinationPolicy) -> "KeyDialect | None":
    """The dialect of a destination's documents; None where it does not honour keys."""
    if not policy.honours_keys:
        return None
    terms = key.with_preset
    source = terms.key_from
    return KeyDialect(
        terms.header,
        quoted=terms.quoted,
        max_length=terms.max_length,
        charset=terms.charset,
        location=None if terms.location is None else JsonPointer(terms.location).tokens,
        from_header=None if source is None or source.startswith("/") else source,
        from_body=JsonPointer(source).tokens if source is not None and source.startswith("/") else None,
    )


class KeyDialect:
    """One destination's. `header` is as it is written on the wire.

    `location` is where the key stands in a JSON body, None for the header. `from_header` and `from_body` are where the
    value stands that a key is made from.
    """

    __slots__ = ("_form", "_from_body", "_from_header", "_line", "_location", "_name")

    def __init__(
        self,
        header: str,
        *,
        quoted: bool = False,
        max_length: int = 255,
        charset: KeyCharset = "visible",
        location: tuple[str, ...] | None = None,
        from_header: str | None = None,
        from_body: tuple[str, ...] | None = None,
    ) -> None:
        self._name = header.lower().encode("ascii")
        self._line = header.encode("ascii") + b": %b\r\n"
        self._form = KeyForm(quoted=quoted, max_length=max_length, charset=charset)
        self._location = location
        self._from_header = None if from_header is None else from_header.lower().encode("ascii")
        self._from_body = from_body

    @property
    def in_body(self) -> bool:
        """Whether the key stands in a JSON body, and not in a header."""
        return self._location is not None

    @property
    def place(self) -> str:
        """The place of the key, in words."""
        if self._location is None:
            return f"the header {self._name.decode('ascii')}"
        return f"the field /{'/'.join(self._location)} of its JSON body"

    def needs_body(self, head: RequestHead) -> bool:
        """Whether this request's body has to be read whole before its key is known, or can be put in its place."""
        if self._location is None and (self._from_body is None or field_values(head.fields, self._name)):
            return False
        return head.method in UNSAFE_METHODS and head.framing is not NONE and is_json_type(_media_type(head))

    def keyed(self, head: RequestHead) -> RequestHead:
        """The head with a key: itself where it has one, or where its method is idempotent; else a copy.

        Of several keys it is not known which one the destination uses: such a request is sent as it is, once. So is one
        whose key would stand in a body that it does not have.
        """
        if head.method not in UNSAFE_METHODS:
            return head
        if self._location is not None:
            return _marked(head, keyed=False)
        found = field_values(head.fields, self._name)
        if found:
            return _marked(head, keyed=len(found) == 1 and bool(found[0]))
        values = () if self._from_header is None else field_values(head.fields, self._from_header)
        return self._with_line(head, self._form.made_of(values[0] if len(values) == 1 else b""))

    def keyed_by_body(self, head: RequestHead, body: bytes) -> tuple[RequestHead, bytes]:
        """The same of a request whose body has been read whole: its head, and its body, with the key in one of them."""
        document = RequestBody(body, _media_type(head))
        if not document.is_json:
            return self.keyed(head), body
        value = b"" if self._from_body is None else _text_at(document, self._from_body)
        if self._from_header is not None:
            values = field_values(head.fields, self._from_header)
            value = values[0] if len(values) == 1 else b""
        if self._location is None:
            return self._with_line(head, self._form.made_of(value)), body
        known = value_at(document.document, self._location)
        if known is not ABSENT and known is not None:
            return _marked(head, keyed=bool(_text_at(document, self._location))), body
        if any(field_values(head.fields, name) for name in DIGESTED):
            return _marked(head, keyed=False), body
        changed = inserted(body, self._location, self._form.made_of(value).decode("ascii"))
        if changed is None:
            return _marked(head, keyed=False), body
        head = copy(head)
        head.keyed = True
        if head.framing is LENGTH:
            head.length = len(changed)
            head.fields = _LENGTH_LINE.sub(rb"\g<1>%d" % len(changed), head.fields)
            head.onward = request_head(head)
        return head, changed

    def _with_line(self, head: RequestHead, key: bytes) -> RequestHead:
        line = self._line % self._form.field_value(key)
        head = copy(head)
        head.fields += line
        head.onward += line
        head.keyed = True
        return head


def _marked(head: RequestHead, *, keyed: bool) -> RequestHead:
    if head.keyed == keyed:
        return head
    head = copy(head)
    head.keyed = keyed
    return head


def _media_type(head: RequestHead) -> bytes:
    return (field_values(head.fields, b"content-type") or [b""])[0]


def _text_at(body: RequestBody, tokens: tuple[str, ...]) -> bytes:
    """The text or the number there; b"" for anything else, of which no key can be made."""
    value = value_at(body.document, tokens)
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else b""
