"""JSON pointers as documents write them."""

import pytest

from sidecar.governance.documents.json_pointer import JsonPointer


@pytest.mark.parametrize(
    ("written", "tokens"),
    [("/", ("",)), ("/a/0", ("a", "0")), ("/a~1b", ("a/b",)), ("/m~0n", ("m~n",)), ("/~01", ("~1",))],
)
def test_a_pointer_is_its_tokens(written: str, tokens: tuple[str, ...]) -> None:
    assert JsonPointer.parse(written).tokens == tokens


@pytest.mark.parametrize("written", ["", "foo", "/~2", "/~", 7, None, "/" + "a" * 500])
def test_what_is_no_pointer_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="JSON pointer"):
        JsonPointer.parse(written)
