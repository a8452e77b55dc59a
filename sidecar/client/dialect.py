"""A destination's dialect of idempotency keys, for code without a sidecar: the same terms that a sidecar acts on.

A request that has a key keeps it. One without is given a key where its destination says: in a header, or in a member of
its JSON body, which then has that member and no other byte changed.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from msgspec import Struct

from sidecar.idempotency.key_form import KeyForm

Fields = Callable[[str], Sequence[str]]
"""The values of a request's header, by its name."""


class CallKey(Struct, frozen=True):
    """The key of a call: `key` is None where it has none that counts.

    `field` is the header that has to be added, name and value, and `body` the body in the place of the request's own;
    None where the request carries the key already, or carries none.
    """

    key: str | None
    field: tuple[str, str] | None = None
    body: bytes | None = None


NO_KEY: Final = CallKey(None)


class BodyPlaces(Protocol):
    """The part of a dialect that is about bodies: see `json_key_places`. A body of None is not known."""

    @property
    def holds_key(self) -> bool:
        """Whether the key stands in the body, and not in a header."""

    def given(self, fields: Fields, body: bytes | None) -> str | None:
        """The key that the body has; None where there is a place for one, "" where there is none."""

    def value(self, fields: Fields, body: bytes | None) -> bytes:
        """The value there that a key is made from, or b""."""

    def put(self, fields: Fields, body: bytes | None, key: str) -> bytes | None:
        """The body with the key in its place; None where it must not be changed."""


class ClientKeyDialect:
    """One destination's. `from_header` is the header with the value that a key is made from; None: there is none."""

    __slots__ = ("_form", "_from_header", "_header", "_places")

    def __init__(
        self,
        header: str = "Idempotency-Key",
        form: KeyForm | None = None,
        *,
        from_header: str | None = None,
        places: BodyPlaces | None = None,
    ) -> None:
        """`form` None: bare, of visible ASCII, at most 255 characters. `places` None: bodies have no part in it."""
        self._header = header
        self._form = form or KeyForm()
        self._from_header = from_header
        self._places = places

    def new_key(self) -> str:
        """A key at random, as the destination takes it."""
        return self._form.made_of(b"").decode("ascii")

    def field(self, key: str) -> tuple[str, str] | None:
        """The header that carries a key; None where it stands in the body."""
        if self._places is not None and self._places.holds_key:
            return None
        return self._header, self._form.field_value(key.encode("ascii")).decode("ascii")

    def key_in(self, fields: Fields, body: bytes | None, *, attaches: bool) -> CallKey:
        """The key of a request, attached where it has none and `attaches`.

        `body` None: it can not be looked at. Two different keys are no key: which one counts is for the destination to
        guess.
        """
        places = self._places
        if places is not None and places.holds_key:
            known = places.given(fields, body)
            if known is not None or not attaches:
                return CallKey(known) if known else NO_KEY
            key = self._made(fields, body)
            changed = places.put(fields, body, key)
            return NO_KEY if changed is None else CallKey(key, None, changed)
        given = set(fields(self._header))
        if given or not attaches:
            return CallKey(given.pop() or None) if len(given) == 1 else NO_KEY
        key = self._made(fields, body)
        return CallKey(key, self.field(key))

    def _made(self, fields: Fields, body: bytes | None) -> str:
        value = b""
        if self._from_header is not None:
            values = fields(self._from_header)
            value = values[0].encode("latin-1", "replace") if len(values) == 1 else b""
        elif self._places is not None:
            value = self._places.value(fields, body)
        return self._form.made_of(value).decode("ascii")


USUAL_DIALECT: Final = ClientKeyDialect()
