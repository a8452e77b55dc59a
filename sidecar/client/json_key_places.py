"""The places of idempotency keys in JSON bodies. Imported with the documents: without it the client loads faster."""

from sidecar.client.dialect import Fields
from sidecar.idempotency.fingerprint import RequestBody
from sidecar.idempotency.json_insertion import inserted
from sidecar.idempotency.key_form import DIGESTED
from sidecar.idempotency.pointer import ABSENT, value_at


class JsonKeyPlaces:
    """Implements `dialect.BodyPlaces`. `location` is where the key stands, None for a header.

    `source` is where the value stands that it is made from, None where that is no value of the body.
    """

    __slots__ = ("_location", "_source")

    def __init__(self, location: tuple[str, ...] | None, source: tuple[str, ...] | None) -> None:
        self._location = location
        self._source = source

    @property
    def holds_key(self) -> bool:
        """See `dialect.BodyPlaces`."""
        return self._location is not None

    def given(self, fields: Fields, body: bytes | None) -> str | None:
        """See `dialect.BodyPlaces`."""
        document = _document(fields, body)
        if self._location is None or not document.is_json:
            return ""
        value = value_at(document.document, self._location)
        if value is ABSENT or value is None:
            return None
        return value if isinstance(value, str) else ""

    def value(self, fields: Fields, body: bytes | None) -> bytes:
        """See `dialect.BodyPlaces`."""
        document = _document(fields, body)
        if self._source is None or not document.is_json:
            return b""
        value = value_at(document.document, self._source)
        return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else b""

    def put(self, fields: Fields, body: bytes | None, key: str) -> bytes | None:
        """See `dialect.BodyPlaces`."""
        if self._location is None or any(fields(name.decode("ascii")) for name in DIGESTED):
            return None
        return inserted(body or b"", self._location, key)


def _document(fields: Fields, body: bytes | None) -> RequestBody:
    return RequestBody(body or b"", "".join(fields("Content-Type")[:1]).encode("latin-1", "replace"))
