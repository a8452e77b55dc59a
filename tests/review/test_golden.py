"""One small document for each rule and for each way around it: exactly these findings, in these words.

The second line of a document says which kinds are expected; the file of its name with .txt has the findings themselves.
"""

import json
import re
from pathlib import Path

import pytest

from sidecar.review.judge import Bench
from sidecar.review.references import Library
from tests.review.descriptions import NOW, rules

FOLDER = Path(__file__).parent / "golden"
DOCUMENTS = sorted([*FOLDER.glob("*.yaml"), *FOLDER.glob("*.json"), *FOLDER.glob("*/openapi.yaml")])


def expected_kinds(document: Path) -> list[str]:
    text = document.read_text(encoding="utf-8")
    if document.suffix == ".json":
        return str(json.loads(text)["info"]["x-expects"]).split()
    found = re.match(r"# .*\n# expects: ?(.*)\n", text)
    assert found is not None
    return found[1].split()


def report_of(document: Path) -> tuple[list[str], str]:
    library = Library(lambda path: Path(path).read_bytes(), lambda path: str(Path(path).relative_to(document.parent)))
    judged = Bench(rules(), NOW).judge(library, str(document))
    findings = [*judged.unjudged, *(one.finding for one in judged.findings)]
    return [finding.rule_id for finding in findings], "".join(f"{finding}\n" for finding in findings)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_a_document_has_exactly_its_findings(document: Path) -> None:
    golden = document.with_suffix(".txt")

    kinds, report = report_of(document)

    assert kinds == expected_kinds(document)
    assert report == (golden.read_text(encoding="utf-8") if golden.is_file() else "")


def test_there_is_a_document_for_every_kind_that_one_description_can_show() -> None:
    kinds = {kind for document in DOCUMENTS for kind in expected_kinds(document)}

    assert len(DOCUMENTS) >= 40
    assert kinds == {
        "conditional-proof",
        "declaration",
        "effect-denied",
        "effect-in-get",
        "event-proof",
        "exception-missing",
        "key-parameter",
        "key-responses",
        "key-retention",
        "ledger-field",
        "natural-key-field",
        "send-key-field",
        "strategy-missing",
        "strategy-refused",
        "surface-label",
        "unresolved",
    }
