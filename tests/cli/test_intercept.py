import pytest
from click.testing import CliRunner, Result

from sidecar.cli import main
from sidecar.interception.redirection import Redirection


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["intercept", *arguments])


def test_print_shows_the_rules_and_changes_nothing() -> None:
    result = run("--ports", "80,8080,80", "--print")

    assert result.exit_code == 0
    assert result.stdout == Redirection((80, 8080), 65532, 16007).nft


def test_print_shows_both_versions_of_iptables() -> None:
    result = run("--ports", "80", "--print", "--backend", "iptables", "--uid", "7")

    assert result.stdout.count("--uid-owner 7") == 2


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "sidecar intercept: --ports: must name at least one port"),
        (("--ports", "80,x"), "must be ports between 1 and 65535 with commas between them, got 'x'"),
        (("--ports", "70000"), "must be ports between 1 and 65535"),
        (("--ports", "16007"), "sidecar intercept: must not redirect port 16007 to itself"),
        (("--ports", "80", "--uid", "-1"), "sidecar intercept: must be a user id, got -1"),
    ],
)
def test_what_can_not_be_is_exit_two(arguments: tuple[str, ...], line: str) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert line in result.stderr
