"""Forms of keys: a value that is taken is the key, any other becomes a UUID, the same each time."""

from uuid import UUID, uuid5

import pytest

from sidecar.governance.documents.key_presets import KeyCharset
from sidecar.idempotency.key_form import KeyForm


def test_a_value_that_is_taken_is_the_key() -> None:
    assert KeyForm(max_length=5, charset="url").made_of(b"a-b_1") == b"a-b_1"


@pytest.mark.parametrize(("length", "charset"), [(36, "visible"), (255, "uuid"), (36, "url")])
def test_any_other_becomes_a_uuid_of_it(length: int, charset: KeyCharset) -> None:
    form = KeyForm(max_length=length, charset=charset)
    value = b"caf\xe9 " * 20

    made = form.made_of(value)

    assert made == str(uuid5(UUID("5f0a3c3e-7a0e-5c55-9c1a-3f6d7f1f2a40"), value.decode("latin-1"))).encode()
    assert made == form.made_of(value)


def test_without_a_value_a_key_is_a_uuid_at_random() -> None:
    one, other = (UUID(KeyForm().made_of(b"").decode()) for _ in range(2))

    assert one != other
    assert (one.version, one.variant) == (4, "specified in RFC 4122")


@pytest.mark.parametrize("form", [KeyForm(max_length=32), KeyForm(charset="alphanumeric")])
def test_where_there_is_no_place_for_its_hyphens_it_has_none(form: KeyForm) -> None:
    assert len(form.made_of(b"")) == 32
    assert form.made_of(b"").isalnum()


def test_a_quoted_key_is_a_structured_field_string() -> None:
    assert KeyForm(quoted=True).field_value(b'a"\\') == b'"a\\"\\\\"'
    assert KeyForm().field_value(b"a") == b"a"
