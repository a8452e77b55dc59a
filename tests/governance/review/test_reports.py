import json
import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from jsonschema import Draft4Validator
from msgspec.structs import replace

from sidecar.governance.documents.finding import Finding, RuleId
from sidecar.governance.documents.rules import RULES
from sidecar.governance.review.check import DocumentKind, Judged, Judgement
from sidecar.governance.review.reports import FORMATS, ReportTool, as_github, as_json, as_junit, as_sarif
from tests.fakes.tools import tool

ORACLES = Path(__file__).resolve().parents[2] / "oracles"
VALIDATE = """
import javax.xml.transform.stream.StreamSource;
import javax.xml.validation.SchemaFactory;
import java.io.File;

class Validate {
    public static void main(String[] files) throws Exception {
        var schema = SchemaFactory.newInstance("http://www.w3.org/2001/XMLSchema").newSchema(new File(files[0]));
        for (int i = 1; i < files.length; i++) schema.newValidator().validate(new StreamSource(new File(files[i])));
    }
}
"""

RATIO = Finding(
    "conf dir/policy.yaml",
    9,
    "defaults.budget.ratio",
    "must be at most 0.2 (guardrail, p.yaml:4)",
    "5",
    RuleId.GUARDRAIL,
)
GONE = Finding("sidecar.yaml", None, "", "can not be read: gone", rule_id=RuleId.UNREADABLE)
NASTY = Finding("a,b:c%\n.yaml", 1, 'x<&>"\x01]]>', "is not known", '"\u2028<script>\udcff"', RuleId.UNKNOWN)
NOTE = Finding(
    "sidecar.yaml", 3, "exceptions[0] (EX-1)", "is over since 2026-12-05: take it out", rule_id=RuleId.EXCEPTION_LIFE
)

JUDGEMENTS = {
    "nothing wrong": Judgement(
        (Judged("policy.yaml", DocumentKind.POLICY), Judged("sidecar.yaml", DocumentKind.SIDECAR)), (), ()
    ),
    "findings and a note": Judgement(
        (Judged(RATIO.file, DocumentKind.POLICY), Judged("sidecar.yaml", DocumentKind.SIDECAR, "", RATIO.file)),
        (RATIO, GONE),
        (NOTE,),
    ),
    "hostile words": Judgement((Judged(NASTY.file, DocumentKind.POLICY),), (NASTY,), ()),
    "no documents": Judgement((), (), ()),
}


@pytest.mark.parametrize("judgement", JUDGEMENTS.values(), ids=JUDGEMENTS)
def test_sarif_keeps_the_schema_of_its_standard(judgement: Judgement) -> None:
    schema = json.loads((ORACLES / "sarif-2.1.0-rtm.5.json").read_text(encoding="utf-8"))

    errors = [error.message for error in Draft4Validator(schema).iter_errors(json.loads(as_sarif(judgement)))]

    assert errors == []


def test_the_schema_of_sarif_would_notice() -> None:
    schema = json.loads((ORACLES / "sarif-2.1.0-rtm.5.json").read_text(encoding="utf-8"))
    log = json.loads(as_sarif(JUDGEMENTS["findings and a note"]))

    log["runs"][0]["results"][0]["level"] = "fatal"
    del log["runs"][0]["tool"]["driver"]["name"]

    assert len(list(Draft4Validator(schema).iter_errors(log))) == 2


def test_a_sarif_result_says_where_and_which_rule() -> None:
    run = json.loads(as_sarif(JUDGEMENTS["findings and a note"]))["runs"][0]
    result = run["results"][0]

    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "conf%20dir/policy.yaml", "uriBaseId": "%SRCROOT%"}
    assert place["region"] == {"startLine": 9}
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "guardrail"
    assert [result["level"] for result in run["results"]] == ["error", "error", "note"]


def test_a_sarif_fingerprint_survives_a_move_to_another_line() -> None:
    moved = replace(RATIO, line=12)

    prints = [
        json.loads(as_sarif(Judgement((), (finding,), ())))["runs"][0]["results"][0]["partialFingerprints"]
        for finding in (RATIO, moved, GONE)
    ]

    assert prints[0] == prints[1] != prints[2]


def test_junit_keeps_its_schema(tmp_path: Path) -> None:
    (tmp_path / "Validate.java").write_text(VALIDATE, encoding="utf-8")
    files = []
    for number, judgement in enumerate(JUDGEMENTS.values()):
        files.append(tmp_path / f"{number}.xml")
        files[-1].write_text(as_junit(judgement), encoding="utf-8", errors="strict")
    java = [str(tool("java")), "-XX:TieredStopAtLevel=1", str(tmp_path / "Validate.java")]

    run = subprocess.run([*java, str(ORACLES / "junit-10.xsd"), *map(str, files)], capture_output=True, timeout=60)

    assert run.returncode == 0, run.stderr.decode()


def test_junit_has_a_failure_for_each_finding_and_a_pass_for_each_sound_document() -> None:
    suites = ElementTree.fromstring(as_junit(JUDGEMENTS["findings and a note"]))
    cases = suites.findall("./testsuite/testcase")
    sound = ElementTree.fromstring(as_junit(JUDGEMENTS["nothing wrong"]))

    assert [(case.get("classname"), len(case.findall("failure"))) for case in cases] == [
        ("conf dir/policy.yaml", 1),
        ("sidecar.yaml", 1),
    ]
    assert (suites.get("tests"), suites.get("failures")) == ("2", "2")
    assert (sound.get("tests"), sound.get("failures")) == ("2", "0")


def test_a_github_annotation_is_one_line_whatever_it_is_about() -> None:
    lines = as_github(JUDGEMENTS["hostile words"]).split("\n")[:-1]

    assert len(lines) == 1
    assert lines[0].startswith("::error file=a%2Cb%3Ac%25%0A.yaml,line=1,title=")


def test_a_github_annotation_says_file_line_field_rule_and_value() -> None:
    error, gone, warning = as_github(JUDGEMENTS["findings and a note"]).splitlines()

    words = "defaults.budget.ratio: must be at most 0.2 (guardrail, p.yaml:4), got 5"
    assert error == f"::error file=conf dir/policy.yaml,line=9,title=defaults.budget.ratio::{words}"
    assert gone == "::error file=sidecar.yaml::can not be read: gone"
    assert warning.startswith("::warning file=sidecar.yaml,line=3,")


def test_an_absolute_path_below_the_repository_is_written_from_its_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inside = Finding(str(tmp_path / "policy.yaml"), 1, "version", "is required", rule_id=RuleId.REQUIRED)

    assert "file=policy.yaml,line=1" in as_github(Judgement((), (inside,), ()))
    assert '"uri": "policy.yaml"' in as_sarif(Judgement((), (inside,), ()))
    assert re.search(
        '"uri": "file:///elsewhere/p.yaml"', as_sarif(Judgement((), (Finding("/elsewhere/p.yaml", 1, "", "x"),), ()))
    )


def test_json_has_every_part_of_a_finding() -> None:
    report = json.loads(as_json(JUDGEMENTS["findings and a note"]))

    assert report["findings"][0] == {
        "file": "conf dir/policy.yaml",
        "line": 9,
        "field": "defaults.budget.ratio",
        "rule": "must be at most 0.2 (guardrail, p.yaml:4)",
        "value": "5",
        "id": "guardrail",
    }
    assert report["documents"][1] == {"file": "sidecar.yaml", "kind": "sidecar", "against": "conf dir/policy.yaml"}
    assert [note["id"] for note in report["notes"]] == ["exception-life"]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("judgement", JUDGEMENTS.values(), ids=JUDGEMENTS)
def test_every_report_can_be_written_as_utf_8(form: str, judgement: Judgement) -> None:
    FORMATS[form](judgement).encode("utf-8")


def test_a_report_is_by_the_tool_that_made_it_and_about_its_rules() -> None:
    gate = ReportTool("sidecar gate", RULES[-1:])
    judgement = Judgement((), (Finding("a.yaml", 1, "x", "is wrong", rule_id="value"),), ())

    driver = json.loads(as_sarif(judgement, gate))["runs"][0]["tool"]["driver"]

    assert (driver["name"], [rule["id"] for rule in driver["rules"]]) == ("sidecar gate", ["value"])
    assert json.loads(as_json(judgement, gate))["findings"][0]["id"] == "value"
    assert '<testsuites name="sidecar gate"' in as_junit(judgement, gate)
    assert 'type="value"' in as_junit(judgement, gate)
