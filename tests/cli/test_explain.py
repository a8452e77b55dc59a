import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli import main
from tests.fakes.documents import POLICY, SIDECAR

RULES = "retry.statuses [429, 503] (built in); retry.backoff.base 25ms (built in)"


@pytest.fixture(autouse=True)
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sidecar.yaml").write_text(SIDECAR, encoding="utf-8")
    (tmp_path / "policy.yaml").write_text(POLICY + "defaults: {retry: {max_attempts: 2}}\n", encoding="utf-8")


def explain(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["explain", *arguments, "--config", "sidecar.yaml"])


def test_each_attempt_names_the_rule_that_decides_and_where_it_is_written() -> None:
    result = explain("GET", "http://payments/x", "--status", "503", "--took", "1s")

    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "GET http://payments/x  to payments, by its host payments; policy version 7",
        "  safe to send again once it may have been executed: GET is idempotent (retry.methods, built in)",
        "  an attempt that answers 503 is transient: another attempt may fare better",
        f"  attempt 1 answers 503: retry after 0s to 25ms  {RULES}",
        "  attempt 2 answers 503: no retry, attempts_exhausted  retry.max_attempts 2 (policy.yaml:3)",
        (
            "  The caller gets the 503 of attempt 2 after 2s, with x-sidecar-attempts: 2 "
            "and x-sidecar-refusal: attempts_exhausted."
        ),
        "  Assumed: 100 requests/s so far, all well. In an outage, breaker, limit and budget refuse more.",
    ]


def test_an_attempt_that_is_not_over_in_time_is_not_said_to_be_answered() -> None:
    output = explain("GET", "http://payments/x", "--status", "200", "--took", "2m").output

    assert "attempt 1 is late after 2s: retry beside it after 0s to 25ms" in output
    assert "answers 200" not in output
    assert "The caller gets a 504 after 1m, with x-sidecar-attempts: 2" in output


def test_an_unsafe_write_is_sent_once_and_says_why() -> None:
    output = explain("POST", "http://payments/x", "--status", "503", "--header", "Idempotency-Key: 1").output

    assert "not safe to send again once it may have been executed: payments is not said to honour" in output
    assert "attempt 1 answers 503: no retry, not_idempotent" in output
    assert "attempt 2" not in output


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (("--status", "200"), None),
        (("--status", "429"), "throttled"),
        (("--status", "500"), "permanent"),
        (("--fault", "reset"), "transient"),
        (("--fault", "protocol"), "permanent"),
    ],
)
def test_an_outcome_is_classified_under_the_policy(outcome: tuple[str, str], kind: str | None) -> None:
    text = explain("GET", "http://payments/", *outcome).output
    report = json.loads(explain("GET", "http://payments/", *outcome, "--format", "json").output)

    assert report["attempts"][0]["class"] == kind
    assert (f" is {kind}: " in text) == (kind is not None)


def test_json_says_the_same() -> None:
    report = json.loads(explain("GET", "http://payments/", "--fault", "reset", "--format", "json").output)

    assert report["destination"] == "payments"
    assert report["attempts"][0]["retry_seconds"][0] == 0.0
    assert report["attempts"][1]["refusal"] == "attempts_exhausted"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://pay:x/", "refused at once: 400 host"),
        ("https://payments/", "CONNECT tunnel"),
        ("ftp://payments/", "refused at once: 400"),
    ],
)
def test_a_request_that_is_not_governed_is_told_so(url: str, words: str) -> None:
    result = explain("GET", url, "--status", "503")

    assert result.exit_code == 0
    assert words in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["GET", "http://payments/"],
        ["GET", "http://payments/", "--status", "503", "--fault", "reset"],
        ["GET", "http://payments/", "--status", "99"],
        ["GET", "http://payments/", "--status", "503", "--took", "1"],
        ["GET", "http://payments/", "--status", "503", "--body", "many"],
        ["GET", "http://payments/", "--status", "503", "--policy", "gone.yaml"],
    ],
)
def test_bad_flags_and_files_are_exit_two(arguments: list[str]) -> None:
    result = explain(*arguments)

    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_a_mistyped_host_is_not_called_forwarded_without_more_and_the_right_one_is_named() -> None:
    output = explain("GET", "http://paymnets/x", "--status", "503").output

    assert "no destination has the host paymnets: did you mean payments?" in output
    assert "with this Host at the egress port it is refused: 502 unlisted" in output


def test_a_host_that_is_like_none_is_told_those_that_are_known() -> None:
    output = explain("GET", "http://warehouse/x", "--status", "503").output

    assert "no destination has the host warehouse (known are " in output


@pytest.mark.parametrize("command", [["explain"], ["simulate"], ["report"], ["init"], ["policy", "explain"]])
def test_no_help_shows_a_mark_that_is_for_the_formatter(command: list[str]) -> None:
    output = CliRunner().invoke(main, [*command, "--help"]).output

    assert "\\b" not in output
    assert "\b" not in output
