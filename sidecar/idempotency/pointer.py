"""The values that JSON pointers (RFC 6901) lead to in bodies."""

import re
from collections.abc import Mapping
from typing import Final

ABSENT: Final = object()
"""Stands for a value that is not there: None is one that may be."""

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}")


def value_at(document: object, tokens: tuple[str, ...]) -> object:
    """The value that `tokens` lead to, or ABSENT."""
    for token in tokens:
        if isinstance(document, Mapping):
            document = document.get(token, ABSENT)
        elif isinstance(document, list) and _INDEX.fullmatch(token) and int(token) < len(document):
            document = document[int(token)]
        else:
            return ABSENT
    return document


def without(document: object, tokens: tuple[str, ...]) -> object:
    """The document less the value that `tokens` lead to; itself when there is none. Nothing given is changed.

    An item of a list leaves null behind, so that its neighbours keep their places.
    """
    if not tokens:
        return document
    first, rest = tokens[0], tokens[1:]
    if isinstance(document, dict) and first in document:
        if not rest:
            return {name: value for name, value in document.items() if name != first}
        return {**document, first: without(document[first], rest)}
    if isinstance(document, list) and _INDEX.fullmatch(first) and int(first) < len(document):
        index = int(first)
        return [*document[:index], without(document[index], rest) if rest else None, *document[index + 1 :]]
    return document
