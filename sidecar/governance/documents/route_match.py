"""The match of a route: methods and a path template, as OpenAPI writes paths.

One matcher for the routes of ingress and those of destinations. A match costs time linear in the path, whatever the
template: there is no backtracking that a long path could drive.
"""

import re
from typing import Annotated, Final, Self

from msgspec import Meta, field

from sidecar.governance.documents.mapping import Document

_PARAMETER: Final = re.compile(r"\{[A-Za-z0-9_.-]{1,64}\}")
_LITERAL: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*")
_MAX_CHARACTERS: Final = 2000

RouteName = Annotated[
    str,
    Meta(
        pattern=r"\A[a-z0-9][a-z0-9_-]{0,62}\Z",
        extra={"rule": "must be a name of at most 63 of a-z, 0-9, '-' and '_', beginning with a letter or digit"},
    ),
]
"""The name of a route: its label in metrics, logs and explanations."""

MethodName = Annotated[
    str, Meta(pattern=r"\A[A-Z][A-Z-]{0,31}\Z", extra={"rule": "must be a method in upper case, like POST"})
]


class PathTemplate(str):
    """A path like `/v1/payments/{id}:cancel`: `{id}` stands for one or more characters other than `/`.

    It is compared with the path of a request before its query, byte for byte: percent-encoding is left as it came, and
    a `/` at the end counts. It is its own text.
    """

    __slots__ = ("_segments",)
    _segments: tuple[bytes | tuple[bytes, ...], ...]
    """A segment without parameters as it is; else the literals between its parameters, one more than there are."""

    def __new__(cls, text: str) -> Self:
        """The text is taken as it is; `parse` is what judges."""
        template = super().__new__(cls, text)
        parts = (_PARAMETER.split(segment) for segment in text.split("/")[1:])
        template._segments = tuple(
            literals[0].encode("ascii") if len(literals) == 1 else tuple(word.encode("ascii") for word in literals)
            for literals in parts
        )
        return template

    def __getnewargs__(self) -> tuple[str]:
        return (str(self),)

    @classmethod
    def parse(cls, written: object) -> Self:
        """Read `/v1/payments/{id}`. Raises ValueError with the rule it breaks."""
        if not isinstance(written, str) or not written.startswith("/") or len(written) > _MAX_CHARACTERS:
            raise ValueError("must be a path like /v1/payments/{id}, beginning with /")
        if "?" in written or "#" in written:
            raise ValueError("must be a path without query or fragment")
        if "}{" in written:
            raise ValueError("must have a character between two parameters")
        if any(_LITERAL.fullmatch(word) is None for part in written.split("/") for word in _PARAMETER.split(part)):
            raise ValueError("must be made of the characters of a path and of parameters like {id}")
        return cls(written)

    def matches(self, path: bytes) -> bool:
        """Whether the path of a request is one of these."""
        return self.matches_segments(path.split(b"/"))

    @property
    def depth(self) -> int:
        """The number of pieces of a path of this kind, split at each `/`."""
        return len(self._segments) + 1

    @property
    def literals(self) -> tuple[tuple[int, bytes], ...]:
        """The pieces of such a path that are always the same, each with its place among those split at each `/`."""
        whole = enumerate(self._segments, start=1)
        return tuple((place, segment) for place, segment in whole if isinstance(segment, bytes))

    def matches_segments(self, given: list[bytes]) -> bool:
        """The same of a path that has been split at each `/`."""
        if given[0] or len(given) - 1 != len(self._segments):
            return False
        return all(
            segment == wanted if isinstance(wanted, bytes) else _matches(segment, wanted)
            for segment, wanted in zip(given[1:], self._segments, strict=True)
        )


class RouteMatch(Document, frozen=True, kw_only=True):
    """`match` of a route. Without `methods` it is for all of them."""

    methods: Annotated[list[MethodName], Meta(min_length=1)] = field(default_factory=list)
    path: PathTemplate

    @property
    def text(self) -> str:
        """As people say it: `GET, HEAD /reports/{id}`."""
        return f"{', '.join(self.methods)} {self.path}" if self.methods else str(self.path)

    def covers(self, method: bytes, path: bytes) -> bool:
        """Whether a request with this method and path, without its query, is the route's."""
        return (not self.methods or method.decode("ascii", "replace") in self.methods) and self.path.matches(path)


def path_of(target: bytes) -> bytes:
    """The path of an origin-form target, without its query."""
    return target.partition(b"?")[0]


def _matches(segment: bytes, literals: tuple[bytes, ...]) -> bool:
    """Whether `segment` is the literals in their order with at least one byte between any two.

    Each literal is taken where it is met first, which leaves the most to those that follow.
    """
    first, *between, last = literals
    if not segment.startswith(first):
        return False
    at = len(first)
    end = len(segment) - len(last)
    for word in between:
        found = segment.find(word, at + 1, end)
        if found < 0:
            return False
        at = found + len(word)
    return at < end and segment.endswith(last)
