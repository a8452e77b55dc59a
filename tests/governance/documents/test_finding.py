import pytest

from sidecar.governance.documents.finding import SHOWN_CHARACTERS, Finding, InvalidDocument, dotted, shown, unknown
from tests.fakes.documents import SIDECAR, Loading


def test_the_secrets_of_a_url_are_not_in_a_finding() -> None:
    assert shown("https://ann:pw@host/p?sig=abc") == '"https://…@host/p?…"'


def test_a_finding_names_file_line_field_rule_and_value() -> None:
    finding = Finding("policy.yaml", 12, "defaults.budget.ratio", "must be between 0 and 1.0", "5")

    assert str(finding) == "policy.yaml:12: defaults.budget.ratio: must be between 0 and 1.0, got 5"


def test_a_finding_about_a_whole_file_leaves_out_what_there_is_not() -> None:
    finding = Finding("policy.yaml", None, "", "must not be empty")

    assert str(finding) == "policy.yaml: must not be empty"


def test_an_invalid_document_says_one_line_for_each_finding() -> None:
    findings = [Finding("a.yaml", 1, "x", "is required"), Finding("b.yaml", 2, "y", "is required")]

    error = InvalidDocument(findings)

    assert str(error).splitlines() == ["a.yaml:1: x: is required", "b.yaml:2: y: is required"]
    assert error.findings == tuple(findings)


def test_a_path_is_written_with_dots_and_brackets() -> None:
    assert dotted(("destinations", "payments", "endpoints", 0)) == "destinations.payments.endpoints[0]"
    assert dotted(()) == ""


def test_text_is_shown_in_quotes_and_numbers_are_not() -> None:
    assert [shown(value) for value in ("5", 5, 0.5, True, None)] == ['"5"', "5", "0.5", "true", "null"]


def test_a_long_value_is_cut() -> None:
    text = shown("x" * 1000)

    assert len(text) == SHOWN_CHARACTERS
    assert text.endswith("…")


def test_a_control_character_can_not_reach_a_terminal() -> None:
    assert shown("\x1b[31m\n") == '"\\u001b[31m\\n"'


def test_an_unknown_word_is_answered_with_the_nearest_known_one() -> None:
    assert unknown("retires", ["retry", "retries", "budget"]) == "is not known; did you mean retries?"
    assert unknown("zzz", ["retry", "budget"]) == "is not known"


KINDS = [
    ("budget: {ratio: 0.35}", "guardrail"),
    ("budget: {ratoi: 0.1}", "unknown"),
    ("timeout: 3", "unit"),
    ("timeout: 2h", "bounds"),
    ("breaker: {statuses: [500]}", "value"),
    ("retry: {methods: [POST]}", "value"),
    ("retry: {statuses: [200]}", "guardrail"),
    ("retry: {faults: [reset, reset]}", "duplicate"),
    ("timeout: yes", "syntax"),
    ("concurrency: {limit: none}", "choice"),
    ("budget: {ratio: much}", "type"),
    ("budget: 3", "type"),
    ("retry: {retry_after: {honour: 1}}", "type"),
]


@pytest.mark.parametrize(("overrides", "identity"), KINDS)
def test_a_finding_carries_the_kind_of_its_rule(overrides: str, identity: str, loading: Loading) -> None:
    with pytest.raises(InvalidDocument) as refused:
        loading(sidecar=f"{SIDECAR}    overrides: {{{overrides}}}\n")

    assert [str(finding.rule_id) for finding in refused.value.findings] == [identity]


@pytest.mark.parametrize(
    ("lines", "identity"),
    [
        ("policy: {file: policy.yaml, poll: 10s}\n", "combination"),
        ("policy: {}\n", "combination"),
        ("destinations: {unlisted: {endpoints: [http://a]}}\n", "reserved"),
        ("destinations: {a: {endpoints: [nowhere]}}\n", "form"),
        ("destinations: {a b: {endpoints: [http://a]}}\n", "form"),
    ],
)
def test_a_finding_about_the_sidecar_file_carries_the_kind_of_its_rule(
    lines: str, identity: str, loading: Loading
) -> None:
    destinations = "" if "destinations" in lines else "destinations: {a: {endpoints: [http://a]}}\n"
    policy = "" if "policy" in lines else "policy: {file: policy.yaml}\n"

    with pytest.raises(InvalidDocument) as refused:
        loading(sidecar=f"service: checkout\n{policy}{destinations}{lines}")

    assert {str(finding.rule_id) for finding in refused.value.findings} == {identity}
