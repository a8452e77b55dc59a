"""Foreign path matches as the path templates of routes, as far as they are alike."""

import re
from typing import Final

from sidecar.governance.documents.route_match import PathTemplate, RouteMatch

_SEGMENT_PATTERNS: Final = re.compile(
    r"\(?(?:\[\^/\]|\\d|\[0-9\]|\\w|\[a-zA-Z0-9_-\]|\[A-Za-z0-9_-\]|\[a-z0-9-\])[+*]\)?"
)
_PLAIN: Final = re.compile(r"(?:[A-Za-z0-9_~!&';:=@,%-]|\\[.\-/])*")


def exact_match(path: str, methods: list[str]) -> RouteMatch | None:
    """A match of one path; None where a template can not say it."""
    try:
        return RouteMatch(methods=methods, path=PathTemplate.parse(path.replace("{", "%7B").replace("}", "%7D")))
    except ValueError:
        return None


def regex_match(pattern: str, methods: list[str]) -> RouteMatch | None:
    r"""A match of a regular expression whose patterns stay within a segment, like `/v1/\d+/items`; else None."""
    body = pattern.removeprefix("^").removesuffix("$")
    segments = []
    marked = _SEGMENT_PATTERNS.sub("\x00", body)
    for index, segment in enumerate(marked.split("/")):
        if not all(map(_PLAIN.fullmatch, segment.split("\x00"))):
            return None
        segments.append(segment.replace("\\", "").replace("\x00", f"{{p{index}}}"))
    return exact_template("/".join(segments), methods)


def exact_template(path: str, methods: list[str]) -> RouteMatch | None:
    """A match of a path that may have parameters; None where it is no template."""
    try:
        return RouteMatch(methods=methods, path=PathTemplate.parse(path))
    except ValueError:
        return None
