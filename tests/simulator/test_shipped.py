"""Scenarios that come with the program need no file of anybody's."""

from click.testing import CliRunner

from sidecar.cli import main
from sidecar.simulator.scenario import load
from sidecar.simulator.shipped import shipped_scenarios


def test_every_shipped_scenario_can_be_played() -> None:
    shipped = shipped_scenarios()

    assert {"hang", "lockstep", "harmless/burst"} <= shipped.keys()
    for file in shipped.values():
        load(file)


def test_a_shipped_scenario_is_played_by_its_name() -> None:
    result = CliRunner().invoke(main, ["simulate", "brownout"])

    assert result.exit_code == 0, result.output
    assert "amplification" in result.output


def test_an_unknown_scenario_names_those_that_are_shipped() -> None:
    result = CliRunner().invoke(main, ["simulate", "brwnout"])

    assert result.exit_code == 2
    assert "did you mean brownout?" in result.output
    assert "hang" in result.output
