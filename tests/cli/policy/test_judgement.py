import io

from rich.console import Console

from sidecar.cli.policy.judgement import show
from sidecar.governance.documents.finding import Finding
from sidecar.governance.review.check import Candidate, DocumentKind, Judged, Judgement

POLICY = Candidate("policy.yaml", b"version: 1\nowner: o\n" + b"x: [/bold] " + b"y" * 300 + b"\n")


def shown(*findings: Finding, encoding: str = "utf-8", width: int = 40) -> str:
    buffer = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    judgement = Judgement((Judged("policy.yaml", DocumentKind.POLICY, "a policy"),), findings, ())
    show(judgement, [POLICY], Console(file=buffer, width=width))
    buffer.flush()
    return buffer.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


def test_a_place_is_never_broken_over_lines() -> None:
    field = "destinations.payments.overrides.concurrency.max_in_flight"

    first = shown(Finding("policy.yaml", 2, field, "must be at least 1", "0")).splitlines()[0]

    assert first == f"✗ policy.yaml:2  {field}"


def test_the_line_itself_is_shown_as_it_is_written_and_cut_when_long() -> None:
    lines = shown(Finding("policy.yaml", 3, "x", "must be text", "[]")).splitlines()

    assert lines[2].startswith("       3 │ x: [/bold] yyy")
    assert lines[2].endswith("…")


def test_a_terminal_without_unicode_gets_none() -> None:
    text = shown(Finding("policy.yaml", 2, "owner", "must be text", "1"), encoding="ascii")

    assert text.startswith("x policy.yaml:2  owner\n")
    assert "   2 | owner: o" in text


def test_a_finding_about_no_line_or_one_that_is_not_there_shows_none() -> None:
    assert "│" not in shown(Finding("policy.yaml", None, "", "can not be read"), Finding("gone.yaml", 7, "x", "y"))


def test_a_sound_document_is_told_in_a_line() -> None:
    assert shown() == "✓ policy.yaml  a policy\n0 findings in 1 document\n"
