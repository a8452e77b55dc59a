"""Values of a JSON document put out of sight, every other byte left as it is."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final

EVERY: Final = "*"
"""A token that stands for every item of a list, and for every member of an object."""
REDACTED: Final = "[redacted]"
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str)

_Pointers = Sequence[tuple[str, ...]]


def redacted(document: bytes, pointers: _Pointers) -> bytes | None:
    """The document with `"[redacted]"` for the values that `pointers` lead to, where there are any.

    A name that stands twice in one object is redacted twice. None for what is no JSON in UTF-8: it is unknown what is
    in it.
    """
    try:
        text = document.decode("utf-8")
        json.loads(text, parse_int=str, parse_float=str)
        spans = list(_spans(text, _after_space(text, 0), pointers))
    except (ValueError, RecursionError):
        return None
    for begin, end in reversed(spans):
        text = f'{text[:begin]}"{REDACTED}"{text[end:]}'
    return text.encode("utf-8")


def _spans(text: str, at: int, pointers: _Pointers) -> Iterator[tuple[int, int]]:
    """The begin and end of each value that is led to, in the value that begins at `at`, in their order."""
    if text[at] == "{":
        items = _members(text, at)
    elif text[at] == "[":
        items = _items(text, at)
    else:
        return
    for name, begin, end in items:
        rest = [pointer[1:] for pointer in pointers if pointer[0] in (name, EVERY)]
        if () in rest:
            yield begin, end
        elif rest:
            yield from _spans(text, begin, rest)


def _members(text: str, at: int) -> Iterator[tuple[str, int, int]]:
    at = _after_space(text, at + 1)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        begin = _after_space(text, _after_space(text, at) + 1)
        _, end = _DECODER.raw_decode(text, begin)
        yield name, begin, end
        at = _after_comma(text, end)


def _items(text: str, at: int) -> Iterator[tuple[str, int, int]]:
    at, index = _after_space(text, at + 1), 0
    while text[at] != "]":
        _, end = _DECODER.raw_decode(text, at)
        yield str(index), at, end
        at, index = _after_comma(text, end), index + 1


def _after_comma(text: str, at: int) -> int:
    at = _after_space(text, at)
    return _after_space(text, at + 1) if text[at] == "," else at


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()
