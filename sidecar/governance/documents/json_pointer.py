"""JSON pointers (RFC 6901) as documents write them."""

import re
from typing import Final, Self

_ESCAPE: Final = re.compile(r"~(?![01])")
_MAX_CHARACTERS: Final = 500


class JsonPointer(str):
    """A place in a JSON document, like `/event/id`. It is its own text."""

    __slots__ = ()

    @classmethod
    def parse(cls, written: object) -> Self:
        """Read a pointer that is not empty. Raises ValueError with the rule it breaks."""
        if (
            not isinstance(written, str)
            or not written.startswith("/")
            or _ESCAPE.search(written)
            or len(written) > _MAX_CHARACTERS
        ):
            raise ValueError("must be a JSON pointer like /event/id (RFC 6901)")
        return cls(written)

    @property
    def tokens(self) -> tuple[str, ...]:
        """The reference tokens, unescaped."""
        return tuple(token.replace("~1", "/").replace("~0", "~") for token in self[1:].split("/"))
