"""`sidecar inject` as it is typed: manifests in, manifests out, and nothing written when something is wrong."""

import json
from pathlib import Path

import yaml
from click.testing import CliRunner, Result

from sidecar.cli.inject import inject
from tests.inject.manifests import COMMENTED, block, workload


def called(*arguments: str, text: str = "") -> Result:
    return CliRunner().invoke(inject, arguments, input=text)


def test_manifests_come_out_as_one_stream_and_what_became_of_them_on_standard_error(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(COMMENTED)
    second.write_text(block(workload("Pod")))

    result = called(str(first), str(second))

    documents = list(yaml.safe_load_all(result.stdout))
    assert [document["kind"] for document in documents] == ["Service", "Deployment", "Pod"]
    assert result.stderr.splitlines() == [
        f"{first}: Deployment/checkout: injected",
        f"{second}: Pod/checkout: injected",
    ]
    assert result.exit_code == 0


def test_standard_input_may_be_the_manifest_and_uninject_gives_it_back() -> None:
    there = called("-", text=COMMENTED)
    again = called("-", text=there.stdout)
    back = called("--uninject", "-", text=there.stdout)

    assert again.stdout == there.stdout
    assert "injected already" in again.stderr
    assert back.stdout == COMMENTED
    assert "standard input: Deployment/checkout: taken out" in back.stderr


def test_files_are_written_over_only_when_all_of_them_are_right(tmp_path: Path) -> None:
    good, bad = tmp_path / "a.yaml", tmp_path / "b.yaml"
    good.write_text(COMMENTED)
    bad.write_text("kind: Pod\napiVersion: v1\nspec: {hostNetwork: true, containers: [{name: a}]}\n")

    refused = called("--in-place", str(good), str(bad))
    untouched = good.read_text()
    accepted = called("--in-place", str(good))

    assert refused.exit_code == 2
    assert f"{bad}:3: spec.hostNetwork: does not go with a sidecar" in refused.stderr
    assert untouched == COMMENTED
    assert accepted.exit_code == 0
    assert accepted.stdout == ""
    assert "name: retry-sidecar" in good.read_text()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_settings_are_the_platforms(tmp_path: Path) -> None:
    settings = tmp_path / "injection.yaml"
    settings.write_text("image: registry.internal/sidecar:9\nauthority: fleet\n")

    result = called("--settings", str(settings), "-", text=block(workload("Pod")))
    settings.write_text("imag: x\n")
    wrong = called("--settings", str(settings), "-", text=block(workload("Pod")))

    spec = yaml.safe_load(result.stdout)["spec"]
    assert spec["initContainers"][0]["image"] == "registry.internal/sidecar:9"
    assert wrong.exit_code == 2
    assert f"{settings}:1: imag: is not known; did you mean image?" in wrong.stderr


def test_a_warning_is_told_and_is_no_failure() -> None:
    pod = workload("Pod")
    pod["spec"]["terminationGracePeriodSeconds"] = 1

    result = called("-", text=block(pod))

    assert result.exit_code == 0
    assert "warning: standard input: Pod/checkout: terminationGracePeriodSeconds is 1" in result.stderr


def test_a_manifest_without_pods_comes_out_as_it_was_and_is_told() -> None:
    result = called("-", text="kind: Service\napiVersion: v1\n")

    assert result.stdout == "kind: Service\napiVersion: v1\n"
    assert result.stderr == "there is no pod in it\n"


def test_wrong_calls_are_told() -> None:
    missing = called("/nonexistent/m.yaml")

    assert missing.exit_code == 2
    assert missing.stderr == "/nonexistent/m.yaml: can not be read: No such file or directory\n"
    assert called().exit_code == 2
    assert "--in-place needs files" in called("--in-place", "-").stderr


def test_the_schema_is_printed() -> None:
    assert json.loads(called("--schema").stdout)["title"] == "Settings of sidecar inject and sidecar webhook"
