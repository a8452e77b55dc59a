"""Every word that is answered leads to what it means and what to do; each word of the gate to a page of its own."""

import ast
import json
import re
from pathlib import Path

import pytest

from sidecar.admin.documentation import DOCUMENTATION, Documentation
from sidecar.engine.outcome import Fault
from sidecar.engine.verdict import Refusal
from sidecar.governance.policy.partner_contract import ANSWERS
from sidecar.idempotency.gate import KeyOutcome
from sidecar.proxy.gated_exchange import BODY_NOT_KEPT
from sidecar.wire.handshake import HANDSHAKE_FAILURES
from sidecar.wire.malformed import REASONS
from sidecar.wire.misdirected import MISDIRECTIONS

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "refusals"
SECTIONS = ["What it means", "What the client does", "What the owners of the service do"]
OF_A_RUN = {Fault.CONNECT_FAILURE.value, Fault.RESET.value, Fault.TIMEOUT.value, "body_timeout"}
"""Answers on a route with a contract that say something else about its key than elsewhere."""


def refused_by_the_gate() -> set[str]:
    """The words that its code refuses with: `self._refused(route, KeyOutcome.WORD, …)`."""
    tree = ast.parse((ROOT / "sidecar" / "idempotency" / "gate.py").read_text(encoding="utf-8"))
    words = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="_refused"), args=[_, ast.Attribute(attr=name), *_]):
                words.add(KeyOutcome[name].value)
    return words


def answered_in_its_place() -> set[str]:
    """The words that the exchange behind the gate answers of itself: `Problem(502, "WORD", …)`."""
    tree = ast.parse((ROOT / "sidecar" / "proxy" / "gated_exchange.py").read_text(encoding="utf-8"))
    words = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="Problem"), args=[_, ast.Constant(value=str(word)), *_]):
                words.add(word)
    return words


GATE_WORDS = refused_by_the_gate() | answered_in_its_place() | ANSWERS.keys() | OF_A_RUN | {BODY_NOT_KEPT}


def test_the_words_of_the_gate_are_found_in_its_code() -> None:
    assert refused_by_the_gate() == ANSWERS.keys()
    assert answered_in_its_place() == {"reset"}


def test_there_is_a_page_for_each_word_of_the_gate_and_for_nothing_else() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == GATE_WORDS


@pytest.mark.parametrize("word", sorted(GATE_WORDS))
def test_a_page_says_the_status_what_it_means_and_what_each_side_does(word: str) -> None:
    text = (PAGES / f"{word}.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    problem = json.loads(example)

    assert text.startswith(f"# {word}\n\n**")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    assert all(len(part.split()) >= 9 for part in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:])
    assert (problem["type"], problem["reason"]) == (f"urn:retry-sidecar:problem:{word}", word)
    assert problem["status"] == ANSWERS.get(word, problem["status"])
    assert word == BODY_NOT_KEPT or text.startswith(f"# {word}\n\n**{problem['status']}")


@pytest.mark.parametrize("word", sorted(GATE_WORDS))
def test_a_page_leads_to_pages_that_are_there(word: str) -> None:
    text = (PAGES / f"{word}.md").read_text(encoding="utf-8")

    links = re.findall(r"\]\(([^)#]+)[^)]*\)", text)

    assert [link for link in links if not (PAGES / link).is_file()] == []


@pytest.mark.parametrize("word", sorted(GATE_WORDS))
def test_the_page_about_all_words_leads_to_it(word: str) -> None:
    index = (ROOT / "docs" / "refusals.md").read_text(encoding="utf-8")

    assert f"[`{word}`](refusals/{word}.md)" in index


@pytest.mark.parametrize(
    "word",
    sorted(
        {refusal.value for refusal in Refusal}
        | {fault.value for fault in Fault}
        | set(HANDSHAKE_FAILURES)
        | set(REASONS)
        | set(MISDIRECTIONS)
        | GATE_WORDS
    ),
)
def test_every_word_that_the_sidecar_answers_has_something_said_about_it(word: str) -> None:
    said = Documentation().refusal(word)

    assert said is not None
    assert len(said.split()) > 12


def test_a_checkout_serves_the_pages_of_its_docs_and_holds_no_copy() -> None:
    assert DOCUMENTATION == ROOT / "docs"
    assert [page for page in (ROOT / "sidecar").rglob("*.md") if "gate" not in page.parts] == []


def test_what_is_no_page_is_none_and_no_path(tmp_path: Path) -> None:
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "refusals").mkdir()
    (tmp_path / "refusals.md").write_text("# Refused\n")
    (tmp_path / "runbooks" / "One.md").write_text("# One\n")
    (tmp_path / "runbooks" / "One.txt").write_text("not a page\n")
    documentation = Documentation(tmp_path)

    assert documentation.runbook("One") == "# One\n"
    assert documentation.runbook("../refusals") is None
    assert documentation.refusal("One") is None
    assert documentation.refusals == "# Refused\n"
