import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli import main

CAREFUL = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: shop}
spec: {hosts: [a], http: [{route: [{destination: {host: a}}], timeout: 2s, retries: {attempts: 0}}]}
"""
UNSAFE = "resilience4j: {retry: {instances: {payments: {waitDuration: 500ms}}}}\n"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["policy", *arguments])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("careful.yaml").write_text(CAREFUL, encoding="utf-8")
    Path("application.yml").write_text(UNSAFE, encoding="utf-8")
    return tmp_path


def test_what_was_translated_as_it_stood_is_exit_zero_and_its_policy_goes_to_standard_output() -> None:
    result = run("import", "careful.yaml")

    assert result.exit_code == 0
    assert "timeout: 2s" in result.stdout
    assert "2 translated" in result.stderr
    assert "translated," not in result.stdout


def test_what_was_unsafe_is_exit_one_and_the_files_pass_the_check() -> None:
    result = run("import", "application.yml", "--out", "new", "--service", "checkout")

    assert result.exit_code == 1
    assert "[no_budget]" in result.stdout
    assert run("check", "new").exit_code == 0
    assert 'service: "checkout"' in Path("new/sidecar.yaml").read_text(encoding="utf-8")


def test_json_is_one_object() -> None:
    result = run("import", "application.yml", "--format", "json")

    assert {note["code"] for note in json.loads(result.stdout)["notes"] if "code" in note} >= {
        "fixed_delay",
        "no_jitter",
    }


def test_files_that_are_there_are_not_written_over() -> None:
    Path("new").mkdir()
    Path("new/sidecar.yaml").write_text("mine", encoding="utf-8")

    refused = run("import", "careful.yaml", "--out", "new")

    assert refused.exit_code == 2
    assert "new/sidecar.yaml: is there already" in refused.stderr
    assert not Path("new/policy.yaml").exists()
    assert run("import", "careful.yaml", "--out", "new", "--force").exit_code == 0


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("no.yaml", None, "no.yaml: can not be read: No such file or directory"),
        ("bad.yaml", "a: [\n", "bad.yaml:2: is not YAML: "),
        ("other.yaml", "kind: ConfigMap\n", "other.yaml: has nothing of envoy, istio, linkerd, resilience4j to import"),
        (
            "wrong.yaml",
            UNSAFE.replace("500ms", "soon"),
            "wrong.yaml:1: resilience4j.retry.instances.payments.waitDuration: must be a duration",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_two(name: str, text: str | None, line: str) -> None:
    if text is not None:
        Path(name).write_text(text, encoding="utf-8")

    result = run("import", name, "--out", "new")

    assert result.exit_code == 2
    assert result.stderr.startswith(f"sidecar policy import: {line}")
    assert result.stderr.count("\n") == 1
    assert not Path("new").exists()
