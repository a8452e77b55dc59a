"""Every flag of `sidecar run` is a variable too; what is wrong is told under the name of whichever was used."""

import json
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from sidecar.cli.boot_options import unknown_variables, variable
from sidecar.cli.explain import explain
from sidecar.cli.run import run

FILE = """\
service: checkout
admin: {listen: "127.0.0.1:15999"}
destinations:
  payments:
    endpoints: ["http://payments:8080"]
"""
UPSTREAM = {"SIDECAR_UPSTREAMS": "payments=http://payments:8080 ledger=http://ledger:8080"}


def told(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(explain, ["config", *arguments], env=variables)


def values(*arguments: str, **variables: str) -> dict[str, tuple[str, str]]:
    result = told(*arguments, "--format", "json", **variables)
    assert result.exit_code == 0, result.output
    return {each["setting"]: (each["value"], each["origin"]) for each in json.loads(result.stdout)}


def options() -> list[click.Option]:
    return [each for each in run.params if isinstance(each, click.Option)]


def test_every_flag_of_run_has_a_variable_and_the_help_names_it() -> None:
    text = re.sub(r"\s+", "", CliRunner().invoke(run, ["--help"]).output)

    for option in options():
        assert isinstance(option.envvar, str), option.opts
        assert option.envvar in (variable(option.opts[0]), "SIDECAR_UPSTREAMS")
        assert option.envvar in text


def test_a_sidecar_is_told_everything_by_variables_alone() -> None:
    found = values(
        **UPSTREAM,
        SIDECAR_SERVICE="checkout",
        SIDECAR_MODE="observe",
        SIDECAR_TRANSPARENT_LISTEN="127.0.0.1:16008 [::1]:16008",
        SIDECAR_LISTEN="127.0.0.1:16001 payments=127.0.0.1:16101",
        SIDECAR_POLICY="https://policy.internal/fleet.yaml",
        SIDECAR_POLICY_CA="/etc/ca.pem",
        SIDECAR_POLICY_CACHE="/var/cache",
        SIDECAR_ADMIN="127.0.0.1:15000",
        SIDECAR_METRICS_LISTEN="0.0.0.0:16002",
        SIDECAR_INGRESS_APP="http://127.0.0.1:8080",
        SIDECAR_INGRESS_LISTEN="0.0.0.0:16007",
        SIDECAR_DRAIN_TIMEOUT="7s",
        SIDECAR_STRICT="true",
        SIDECAR_LOG_FORMAT="json",
        SIDECAR_LOG_LEVEL="warning",
    )

    assert {name: value for name, (value, origin) in found.items() if origin.startswith("SIDECAR_")} == {
        "service": "checkout",
        "mode": "observe",
        "strict": "true",
        "log_format": "json",
        "log_level": "warning",
        "egress.listen": "127.0.0.1:16001",
        "egress.transparent.listen": "127.0.0.1:16008 [::1]:16008",
        "destinations.payments.endpoints": "http://payments:8080",
        "destinations.payments.listen": "127.0.0.1:16101",
        "destinations.ledger.endpoints": "http://ledger:8080",
        "policy.url": "https://policy.internal/fleet.yaml",
        "policy.ca": "/etc/ca.pem",
        "policy.cache": "/var/cache",
        "admin.listen": "127.0.0.1:15000",
        "admin.metrics_listen": "0.0.0.0:16002",
        "ingress.app": "http://127.0.0.1:8080",
        "ingress.listen": "0.0.0.0:16007",
        "drain": "7s",
    }


def test_a_flag_wins_over_its_variable_and_a_variable_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text(FILE)

    by_file = values(SIDECAR_CONFIG=str(file))
    by_variable = values(SIDECAR_CONFIG=str(file), SIDECAR_ADMIN="127.0.0.1:15001")
    by_flag = values("--admin", "127.0.0.1:15002", SIDECAR_CONFIG=str(file), SIDECAR_ADMIN="127.0.0.1:15001")

    assert by_file["admin.listen"] == ("127.0.0.1:15999", f"{file}:2")
    assert by_file["config"] == (str(file), "SIDECAR_CONFIG")
    assert by_variable["admin.listen"] == ("127.0.0.1:15001", "SIDECAR_ADMIN")
    assert by_flag["admin.listen"] == ("127.0.0.1:15002", "--admin")
    assert by_flag["drain"] == ("25s", "default")


def test_an_empty_variable_is_not_set() -> None:
    assert values(**UPSTREAM, SIDECAR_ADMIN="", SIDECAR_POLICY="")["admin.listen"] == ("127.0.0.1:16000", "default")


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("SIDECAR_LISTEN", "nowhere", 'like 127.0.0.1:16001 or [::1]:16001, got "nowhere"'),
        ("SIDECAR_UPSTREAMS", "payments", 'must be name=url, got "payments"'),
        ("SIDECAR_UPSTREAMS", "payments=ftp://x", 'got "ftp://x"'),
        ("SIDECAR_DRAIN_TIMEOUT", "10", 'must be a duration with its unit, like 250ms, 2s, 1m or 24h, got "10"'),
        ("SIDECAR_POLICY", "http://a/b", 'without user or fragment, got "http://a/b"'),
        ("SIDECAR_MODE", "sleep", 'must be enforce or observe, got "sleep"'),
        ("SIDECAR_METRICS_LISTEN", "127.0.0.1:16000", "must not listen where admin.listen, by default, does"),
        ("SIDECAR_INGRESS_LISTEN", "0.0.0.0:1", "ingress.app: is required"),
        ("SIDECAR_SERVICE", "a b", 'got "a b"'),
        ("SIDECAR_STRICT", "maybe", "'maybe' is not a valid boolean"),
        ("SIDECAR_LOG_LEVEL", "loud", "'loud' is not one of"),
        ("SIDECAR_CONFIG_OPTIONAL", "true", "goes with --config"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", [run, explain])
def test_a_bad_variable_is_one_message_with_its_name_rule_and_value(
    command: click.Command, name: str, value: str, rule: str
) -> None:
    arguments = [] if command is run else ["config"]

    result = CliRunner().invoke(command, arguments, env=UPSTREAM | {name: value})

    assert result.exit_code == 2
    assert name in result.stderr
    assert rule in result.stderr
    assert "--" not in result.stderr.split(rule)[0].replace("--help", "")


def test_nothing_to_call_names_both_ways_to_say_it() -> None:
    result = told()

    assert result.exit_code == 2
    assert "--upstream NAME=URL (SIDECAR_UPSTREAMS)" in result.stderr


def test_a_variable_that_is_nearly_one_of_ours_is_told() -> None:
    context = click.Context(run)
    links = {"SIDECAR_SERVICE_HOST": "10.0.0.1", "SIDECAR_PORT": "tcp://10.0.0.1:80", "SIDECAR_ADMIN_SERVICE_PORT": "1"}

    warnings = unknown_variables({"SIDECAR_UPSTREAM": "a=b", "SIDECAR_SOMETHING": "1", "HOME": "/", **links}, context)

    assert warnings == ["the variable SIDECAR_UPSTREAM is not known and does nothing; did you mean SIDECAR_UPSTREAMS?"]
