"""Dialects of the client library: the key goes where the destination wants it, or nowhere, and never over another."""

from collections.abc import Callable, Sequence

import pytest

from sidecar.client.dialect import NO_KEY, USUAL_DIALECT, CallKey, ClientKeyDialect
from sidecar.client.json_key_places import JsonKeyPlaces
from sidecar.idempotency.key_form import KeyForm

JSON = ("Content-Type", "application/json")


def fields(*lines: tuple[str, str]) -> Callable[[str], Sequence[str]]:
    return lambda name: [value for each, value in lines if each.lower() == name.lower()]


def test_a_key_is_attached_in_the_header_and_the_form_of_the_destination() -> None:
    dialect = ClientKeyDialect("X-Request-Key", KeyForm(quoted=True, max_length=32))

    found = dialect.key_in(fields(), b"", attaches=True)

    assert found.key is not None
    assert len(found.key) == 32
    assert found == CallKey(found.key, ("X-Request-Key", f'"{found.key}"'))


def test_a_key_of_the_callers_own_is_left_as_it_is() -> None:
    found = USUAL_DIALECT.key_in(fields(("idempotency-key", '"abc"')), b"", attaches=True)

    assert found == CallKey('"abc"')


@pytest.mark.parametrize(
    "dialect",
    [ClientKeyDialect(from_header="X-Event"), ClientKeyDialect(places=JsonKeyPlaces(None, ("event", "id")))],
)
def test_a_key_is_made_of_what_the_destination_says(dialect: ClientKeyDialect) -> None:
    given = fields(JSON, ("X-Event", "evt-7"))

    assert dialect.key_in(given, b'{"event": {"id": "evt-7"}}', attaches=True).key == "evt-7"


def test_a_key_in_the_body_is_put_in_and_changes_no_other_byte() -> None:
    dialect = ClientKeyDialect(places=JsonKeyPlaces(("key",), None), from_header="X-Event")

    found = dialect.key_in(fields(JSON, ("X-Event", "evt-7")), b'{ "amount": 1.50}', attaches=True)

    assert found == CallKey("evt-7", None, b'{"key":"evt-7", "amount": 1.50}')
    assert dialect.field("evt-7") is None


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        ([JSON], b"nonsense"),
        ([("Content-Type", "text/plain")], b"{}"),
        ([JSON], b"[1]"),
        ([JSON, ("Content-Digest", "sha-256=:x:")], b"{}"),
        ([JSON], None),
    ],
)
def test_where_there_is_no_place_for_it_there_is_no_key(lines: list[tuple[str, str]], body: bytes | None) -> None:
    assert ClientKeyDialect(places=JsonKeyPlaces(("key",), None)).key_in(fields(*lines), body, attaches=True) == NO_KEY


def test_a_key_in_the_body_counts_where_it_is_one() -> None:
    dialect = ClientKeyDialect(places=JsonKeyPlaces(("key",), None))

    assert dialect.key_in(fields(JSON), b'{"key": "mine"}', attaches=False) == CallKey("mine")
    assert dialect.key_in(fields(JSON), b'{"key": {}}', attaches=True) == NO_KEY


def test_nothing_is_attached_where_the_destination_does_not_honour_keys() -> None:
    assert USUAL_DIALECT.key_in(fields(), b"", attaches=False) == NO_KEY
    assert ClientKeyDialect(places=JsonKeyPlaces(("key",), None)).key_in(fields(JSON), b"{}", attaches=False) == NO_KEY
