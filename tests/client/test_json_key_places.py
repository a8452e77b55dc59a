"""Places of keys in JSON bodies: what stands there, what a key is made of, and where one can be put."""

import pytest

from sidecar.client.json_key_places import JsonKeyPlaces

PLACES = JsonKeyPlaces(("key",), ("event", "id"))


def json(name: str) -> list[str]:
    return ["application/json"] if name == "Content-Type" else []


@pytest.mark.parametrize(
    ("body", "given"),
    [(b'{"key": "k"}', "k"), (b"{}", None), (b'{"key": null}', None), (b'{"key": [1]}', ""), (b"no", ""), (None, "")],
)
def test_a_body_has_a_key_or_a_place_for_one_or_neither(body: bytes | None, given: str | None) -> None:
    assert PLACES.given(json, body) == given


@pytest.mark.parametrize(
    ("body", "value"), [(b'{"event": {"id": "e"}}', b"e"), (b'{"event": {"id": 7}}', b"7"), (b"{}", b""), (None, b"")]
)
def test_a_key_is_made_of_the_text_or_the_number_at_the_source(body: bytes | None, value: bytes) -> None:
    assert PLACES.value(json, body) == value


def test_a_key_is_put_where_it_belongs_and_not_under_a_digest() -> None:
    assert PLACES.put(json, b"{}", "k") == b'{"key":"k"}'
    assert PLACES.put(lambda name: [*json(name), *(["x"] if name == "content-digest" else [])], b"{}", "k") is None
    assert JsonKeyPlaces(None, ("a",)).put(json, b"{}", "k") is None
    assert not JsonKeyPlaces(None, ("a",)).holds_key
