import json

from sidecar.migration.import_report import as_json, as_text
from tests.fakes.imports import envoy_route, imported


def test_what_is_unsafe_comes_first_and_each_line_says_where() -> None:
    text = as_text(imported(envoy_route({"retry_on": "5xx", "num_retries": 9})))

    titles = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert titles[0].startswith("Unsafe in the original (")
    assert "a.yaml:1 " in text
    assert '"9" -> payments: retry.max_attempts 4' in text
    assert titles[-1].startswith("1 destination: ")


def test_the_json_has_both_documents_and_every_note() -> None:
    result = imported(envoy_route({"retry_on": "5xx"}))

    report = json.loads(as_json(result))

    assert report["policy"] == result.policy
    assert report["sidecar"] == result.sidecar
    assert report["files"] == {"a.yaml": ["envoy"]}
    assert len(report["notes"]) == len(result.notes)
    assert {"kind", "file", "line", "field", "text"} <= set(report["notes"][0])
