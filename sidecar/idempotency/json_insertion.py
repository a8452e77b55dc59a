"""A text put into a JSON document at a pointer (RFC 6901), every other byte left as it is.

To parse the document and to write it anew would change the numbers, the order and the space of a body that is not ours.
"""

import json
import re
from typing import Final

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str)


def inserted(document: bytes, tokens: tuple[str, ...], value: str) -> bytes | None:
    """The document with `value` where `tokens` lead; None where there is no place for it.

    A place is a member of an object that stands there already, itself missing or null. The document must be JSON
    without a name that stands twice in one object.
    """
    try:
        text = _inserted(document.decode("utf-8"), tokens, json.dumps(value))
    except (ValueError, IndexError, RecursionError):
        return None
    return None if text is None else text.encode("utf-8")


def _inserted(text: str, tokens: tuple[str, ...], written: str) -> str | None:
    at = _after_space(text, 0)
    for depth, token in enumerate(tokens, start=1):
        if text[at] != "{":
            return None
        found, empty = _member(text, at, token)
        if found is None:
            if depth < len(tokens):
                return None
            comma = "" if empty else ","
            return f"{text[: at + 1]}{json.dumps(token)}:{written}{comma}{text[at + 1 :]}"
        at = found
    return text[:at] + written + text[at + len("null") :] if text.startswith("null", at) else None


def _member(text: str, at: int, name: str) -> tuple[int | None, bool]:
    """The index of a member's value in the object that begins at `at`, and whether that has no members at all."""
    at = _after_space(text, at + 1)
    if text[at] == "}":
        return None, True
    while True:
        found, at = _DECODER.raw_decode(text, at)
        at = _after_space(text, _after_space(text, at) + 1)
        if found == name:
            return at, False
        _, at = _DECODER.raw_decode(text, at)
        at = _after_space(text, at)
        if text[at] == "}":
            return None, False
        at = _after_space(text, at + 1)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()
