"""A destination's dialect of idempotency keys, for code without a sidecar: the same terms that a sidecar acts on.

A request that has a key keeps it. One without is given a key where its destination says: in a header, or in a member of
its JSON body, which then has that member and no other byte changed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.idempotency.fingerprint import RequestBody
from sidecar.idempotency.json_insertion import inserted
from sidecar.idempotency.key_form import DIGESTED, KeyForm
from sidecar.idempotency.pointer import ABSENT, value_at

Fields = Callable[[str], Sequence[str]]
"""The values of a request's header, by its name."""


@dataclass(frozen=True, slots=True)
class CallKey:
    """The key of a call: `key` is None where it has none that counts.

    `field` is the header that has to be added, name and value, and `body` the body in the place of the request's own;
    None where the request carries the key already, or carries none.
    """

    key: str | None
    field: tuple[str, str] | None = None
    body: bytes | None = None


NO_KEY: Final = CallKey(None)


class ClientKeyDialect:
    """One destination's. `location` is where the key stands in a JSON body, None for the header.

    `from_header` and `from_body` are where the value stands that a key is made from.
    """

    __slots__ = ("_form", "_from_body", "_from_header", "_header", "_location")

    def __init__(
        self,
        header: str = "Idempotency-Key",
        form: KeyForm | None = None,
        *,
        location: tuple[str, ...] | None = None,
        from_header: str | None = None,
        from_body: tuple[str, ...] | None = None,
    ) -> None:
        """`form` None: bare, of visible ASCII, at most 255 characters."""
        self._header = header
        self._form = form or KeyForm()
        self._location = location
        self._from_header = from_header
        self._from_body = from_body

    @property
    def in_body(self) -> bool:
        """Whether the key stands in a JSON body, and not in a header."""
        return self._location is not None

    def new_key(self) -> str:
        """A key at random, as the destination takes it."""
        return self._form.made_of(b"").decode("ascii")

    def field(self, key: str) -> tuple[str, str] | None:
        """The header that carries a key; None where it stands in the body."""
        if self._location is not None:
            return None
        return self._header, self._form.field_value(key.encode("ascii")).decode("ascii")

    def key_in(self, fields: Fields, body: bytes | None, *, attaches: bool) -> CallKey:
        """The key of a request, attached where it has none and `attaches`.

        `body` None: it can not be looked at. Two different keys are no key: which one counts is for the destination to
        guess.
        """
        document = RequestBody(body or b"", ("".join(fields("Content-Type")[:1])).encode("latin-1", "replace"))
        if self._location is not None:
            return self._key_in_body(fields, document, attaches=attaches)
        given = set(fields(self._header))
        if given:
            return CallKey(given.pop() or None) if len(given) == 1 else NO_KEY
        if not attaches:
            return NO_KEY
        key = self._form.made_of(self._value(fields, document)).decode("ascii")
        return CallKey(key, self.field(key))

    def _key_in_body(self, fields: Fields, document: RequestBody, *, attaches: bool) -> CallKey:
        assert self._location is not None
        if not document.is_json:
            return NO_KEY
        known = value_at(document.document, self._location)
        if known is not ABSENT and known is not None:
            return CallKey(known) if isinstance(known, str) and known else NO_KEY
        if not attaches or any(fields(name.decode("ascii")) for name in DIGESTED):
            return NO_KEY
        key = self._form.made_of(self._value(fields, document)).decode("ascii")
        changed = inserted(document.raw, self._location, key)
        return NO_KEY if changed is None else CallKey(key, None, changed)

    def _value(self, fields: Fields, document: RequestBody) -> bytes:
        if self._from_header is not None:
            values = fields(self._from_header)
            return values[0].encode("latin-1", "replace") if len(values) == 1 else b""
        if self._from_body is None or not document.is_json:
            return b""
        value = value_at(document.document, self._from_body)
        return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else b""


USUAL_DIALECT: Final = ClientKeyDialect()
