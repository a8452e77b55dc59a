"""`sidecar explain config` tells each value with its origin, and what is wrong as `sidecar run` would."""

from pathlib import Path

from click.testing import CliRunner, Result

from sidecar.cli.explain import explain

AUTHORITY = "policy:\n  url: https://platform.internal/policy.yaml?token=hush\n"


def told(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(explain, ["config", *arguments], env=variables)


def test_it_is_a_table_of_value_and_origin() -> None:
    result = told("--upstream", "payments=http://payments:8080", SIDECAR_DRAIN_TIMEOUT="9s")

    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["drain", "9s", "SIDECAR_DRAIN_TIMEOUT"] in rows
    assert ["destinations.payments.endpoints", "http://payments:8080", "--upstream"] in rows
    assert ["destinations.payments.listen", "127.0.0.1:16001", "[::1]:16001", "default"] in rows
    assert result.exit_code == 0


def test_an_optional_file_counts_when_it_is_there_and_is_not_missed_when_it_is_not(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    flags = ("--config", str(file), "--config-optional")

    absent = told(*flags)
    file.write_text("service: checkout\ndestinations: {payments: {endpoints: ['http://payments:8080']}}\n")
    present = told(*flags)
    file.write_text("service: checkout\nfrob: 1\n")
    broken = told(*flags)

    assert absent.exit_code == 0
    assert f"{file} (is not there)" in absent.stdout
    assert f"{file}:1" in present.stdout
    assert broken.exit_code == 2
    assert f"{file}:2: frob: is not known" in broken.stderr


def test_a_file_that_is_needed_and_missing_is_told(tmp_path: Path) -> None:
    result = told("--config", str(tmp_path / "sidecar.yaml"))

    assert result.exit_code == 2
    assert "can not be read: No such file or directory" in result.stderr


def test_the_platforms_authority_says_where_the_policy_is_and_no_variable_may(tmp_path: Path) -> None:
    authority = tmp_path / "authority.yaml"
    authority.write_text(AUTHORITY)
    named = {"SIDECAR_UPSTREAMS": "a=http://a", "SIDECAR_AUTHORITY": str(authority)}

    ruled = told(**named)
    contested = told(**named, SIDECAR_POLICY="https://mine.internal/policy.yaml")

    assert "hush" not in ruled.stdout
    row = next(line for line in ruled.stdout.splitlines() if line.startswith("policy.url"))
    assert row.split() == ["policy.url", "https://platform.internal/policy.yaml?…", f"{authority}:2"]
    assert contested.exit_code == 2
    assert f"SIDECAR_POLICY: policy: is not for the service to say: {authority} names the policy" in contested.stderr


def test_what_only_goes_with_a_url_or_with_keys_is_told_only_there() -> None:
    by_file = told("--upstream", "a=http://a", "--policy", "p.yaml").stdout
    by_url = told("--upstream", "a=http://a", "--policy", "https://p/p.yaml").stdout

    assert [line.split()[0] for line in by_file.splitlines() if line.startswith("policy")] == ["policy.file"]
    assert "policy.poll" in by_url
    assert "policy.required" not in by_url


def test_a_misspelt_variable_is_a_warning_and_the_values_are_told() -> None:
    result = told(SIDECAR_UPSTREAMS="a=http://a", SIDECAR_DRAIN_TIMEOT="1s")

    assert result.exit_code == 0
    assert "did you mean SIDECAR_DRAIN_TIMEOUT?" in result.stderr


def test_a_request_is_explained_as_before() -> None:
    result = CliRunner().invoke(explain, ["GET", "http://payments/", "--config", "sidecar.yaml"])

    assert result.exit_code == 2
    assert "--status N or --fault WORD" in result.stderr
