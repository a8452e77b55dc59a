"""A judgement for people: what is wrong, where, the line itself, and what is right."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from sidecar.governance.documents.finding import Finding
from sidecar.governance.review.check import Candidate, DocumentKind, Judgement

_SHOWN_LINE = 100


def show(judgement: Judgement, candidates: Sequence[Candidate], console: Console) -> None:
    """Print it. Places are `file:line`, for terminals and editors that follow them."""
    sources = {candidate.name: candidate.content.decode("utf-8", "replace").splitlines() for candidate in candidates}
    marks = _marks(console)
    for finding in judgement.findings:
        _show(finding, sources, console, marks["wrong"], "red")
    for note in judgement.notes:
        _show(note, sources, console, marks["note"], "yellow")
    wrong = {finding.file for finding in judgement.findings}
    for judged in judgement.documents:
        if judged.file in wrong:
            continue
        if judged.kind is DocumentKind.OTHER:
            _line(console, "- ", judged.file, (f"  {judged.kind.value}: not judged", "dim"))
            continue
        against = "" if judged.against is None else f", judged by {judged.against}"
        _line(console, (marks["right"], "green"), " ", (judged.file, "bold"), f"  {judged.summary}{against}")
    if judgement.documents:
        _line(console, _sum(judgement))


def _show(finding: Finding, sources: Mapping[str, Sequence[str]], console: Console, mark: str, colour: str) -> None:
    place = finding.file if finding.line is None else f"{finding.file}:{finding.line}"
    _line(console, (mark, f"bold {colour}"), " ", (place, "bold"), f"  {finding.field}" if finding.field else "")
    got = "" if finding.value is None else f", got {finding.value}"
    _line(console, "    ", (f"{finding.rule}{got}", colour))
    lines = sources.get(finding.file, ())
    if finding.line is not None and finding.line <= len(lines) and lines[finding.line - 1].strip():
        text = lines[finding.line - 1]
        cut = text if len(text) <= _SHOWN_LINE else text[: _SHOWN_LINE - 1] + "\N{HORIZONTAL ELLIPSIS}"
        _line(console, (f"    {finding.line:>4} {_marks(console)['bar']} {cut}", "dim"))
    console.print()


def _line(console: Console, *parts: str | tuple[str, str]) -> None:
    console.print(Text.assemble(*parts), highlight=False, soft_wrap=True)


def _sum(judgement: Judgement) -> str:
    wrong = {finding.file for finding in judgement.findings}
    documents = sum(judged.kind is not DocumentKind.OTHER or judged.file in wrong for judged in judgement.documents)
    parts = [_count(len(judgement.findings), "finding")]
    if judgement.notes:
        parts.append(_count(len(judgement.notes), "note"))
    return f"{' and '.join(parts)} in {_count(documents, 'document')}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _marks(console: Console) -> Mapping[str, str]:
    """Characters that the terminal has."""
    if console.encoding.lower().startswith("utf"):
        return {"wrong": "✗", "note": "!", "right": "✓", "bar": "│"}
    return {"wrong": "x", "note": "!", "right": "ok", "bar": "|"}
