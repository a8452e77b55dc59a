"""No regular expression of the project takes more than linear time, and what decides that can tell."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sidecar.wire.reader import RequestReader, ResponseReader
from sidecar.wire.shapes import RequestShape, ResponseShape
from tests.ambiguity import superlinear

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("sidecar", "loadtest")
REVIEW = "sidecar/review/"
"""Left out: it judges files in CI, for those who wrote them; no running sidecar has it."""
FUNCTIONS = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
ANYWHERE = {"search", "sub", "subn", "split", "findall", "finditer"}
"""Those that look for the expression at every place of a text."""


@dataclass(frozen=True)
class Expression:
    place: str
    pattern: str | bytes
    flags: int
    anywhere: bool


MADE = {
    "sidecar/governance/documents/decoder.py": "the patterns of Meta(pattern=…), which are walked below",
    "sidecar/review/codeowners.py": "of a repository's CODEOWNERS, in a command that ends",
    "sidecar/review/surfaces.py": "of the globs of the platform's gate.yaml, in a command that ends",
    "sidecar/wire/shapes.py": "made of the heads that were met, some of which are tried below",
}
"""Files in which an expression is made and not written, and where it is looked at instead."""


EXCUSED = {
    "sidecar/migration/foreign_document.py": "it begins where a line does",
    "sidecar/migration/foreign_duration.py": "of a text that an expression without this freedom has matched whole",
    "sidecar/review/repository.py": "it begins where a line does, and its parts have no character in common",
    "sidecar/review/routes.py": "a run of capitals gives back one letter, and no brace is in a parameter",
    "sidecar/review/source.py": "of a text that json has read before: every quotation mark in it has its partner",
    "sidecar/review/surfaces.py": "a run of capitals gives back one letter, and no brace is in a parameter",
    "sidecar/admin/refusals.py": "of a page of our own, every line of which is part of a match or of none",
}
"""Expressions of whose anchors more is known than the automaton takes into account."""


def constant(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def flags_of(call: ast.Call) -> int:
    words = {
        each.attr
        for argument in [*call.args, *call.keywords]
        for each in ast.walk(argument)
        if isinstance(each, ast.Attribute)
    }
    return sum(int(getattr(re, word)) for word in words if isinstance(getattr(re, word, None), re.RegexFlag))


def searched(tree: ast.Module) -> set[str]:
    """Names whose expression is looked for anywhere."""
    return {
        node.func.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ANYWHERE
        and isinstance(node.func.value, ast.Name)
    }


def compiled_names(tree: ast.Module) -> dict[int, str]:
    """The name that the result of a call gets, by the line of the call."""
    names = {}
    for node in ast.walk(tree):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and node.value is not None:
            names[node.value.lineno] = target.id
    return names


def expressions() -> Iterator[Expression]:
    """Every expression that is written in the code; a Meta(pattern=…) is looked for anywhere, as the decoder does."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            file = str(path.relative_to(ROOT))
            if file.startswith(REVIEW):
                continue
            anywhere, names = searched(tree), compiled_names(tree)
            for node in ast.walk(tree):
                if not isinstance(node, ast.Call):
                    continue
                for keyword in node.keywords:
                    pattern = constant(keyword.value)
                    if keyword.arg == "pattern" and isinstance(pattern, str):
                        yield Expression(f"{file}:{node.lineno}", pattern, 0, anywhere=True)
                function = node.func
                if not isinstance(function, ast.Attribute) or function.attr not in FUNCTIONS:
                    continue
                if not isinstance(function.value, ast.Name) or function.value.id != "re":
                    continue
                written = constant(node.args[0])
                if isinstance(written, str | bytes):
                    looked_for = function.attr in ANYWHERE or names.get(node.lineno) in anywhere
                    yield Expression(f"{file}:{node.lineno}", written, flags_of(node), looked_for)
                else:
                    assert file in MADE, f"{file}:{node.lineno}: made, not written: say in MADE where it is tried"


@pytest.mark.parametrize("expression", list(expressions()), ids=lambda expression: expression.place)
def test_no_expression_takes_more_than_linear_time(expression: Expression) -> None:
    """`owner: 1_1_1…x` took quadratic time, with the interpreter's lock held: 30 kB stopped traffic for 4 s."""
    linear = not superlinear(expression.pattern, expression.flags, search=expression.anywhere)

    assert linear or expression.place.partition(":")[0] in EXCUSED, expression.pattern


REQUESTS = [
    b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /a?b=c HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nContent-Length: 5\r\nTraceparent: 00-t-01\r\nX-C: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nIdempotency-Key: key\r\nX-Request-Id: id\r\n\r\n",
]
RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: today\r\nX-A: b\r\nRetry-After: 30\r\nServer: s\r\n\r\n",
    b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nX-A: b c\r\n\r\n",
]


def shapes() -> Iterator[re.Pattern[bytes]]:
    for raw in REQUESTS:
        head = RequestReader().feed(raw)
        assert head is not None
        yield RequestShape(raw, head).match.__self__
    for raw in RESPONSES:
        answer = ResponseReader().feed(raw, to_head=False)
        assert answer is not None
        yield ResponseShape(raw, answer).match.__self__


@pytest.mark.parametrize("pattern", list(shapes()), ids=lambda pattern: str(pattern.pattern)[:20])
def test_no_shape_of_a_head_takes_more_than_linear_time(pattern: re.Pattern[bytes]) -> None:
    assert not superlinear(pattern.pattern, pattern.flags)


@pytest.mark.parametrize(
    "pattern",
    [
        "[0-9][0-9_]*_[0-9_]*x",
        "(a+)+b",
        "(a*)*b",
        "(a|a)*b",
        "(?:a|ab)*(?:ba)*",
        "[0-9]+\\.?[0-9]*e",
        " *\\s*x",
        "(a{1,50}b?)*c",
    ],
)
def test_what_backtracks_is_known(pattern: str) -> None:
    assert superlinear(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "[0-9]+_[0-9_]*x",
        "(ab+)+c",
        "a*b",
        "(a|b)*c",
        "(?:a|ba)*",
        "[0-9]+(?:\\.[0-9]*)?e",
        " *+\\s*x",
        "x{3}[a-f]{2,4}",
    ],
)
def test_what_does_not_is_known_too(pattern: str) -> None:
    assert not superlinear(pattern)


def test_what_is_looked_for_anywhere_begins_anew_at_every_place() -> None:
    assert superlinear("[a-z]+x", search=True)
    assert not superlinear("`[a-z]+`", search=True)
    assert not superlinear("[a-z]+x")
