"""The measurement of what a storm's log lines cost runs, and measures a storm. No test asserts a time."""

import json

from click.testing import CliRunner

from loadtest.logs import logs


def test_both_sidecars_take_the_same_storm_and_one_of_them_tells() -> None:
    ran = CliRunner().invoke(logs, ["--rate", "400", "--turns", "2", "--seconds", "0.3", "--json"])

    cost = json.loads(ran.output)
    assert ran.exit_code == 0
    assert 100 <= cost["failures"] <= 240
    assert cost["lines"] > 50
    assert cost["logged_us"] > 0
    assert cost["unlogged_us"] > 0
    assert 0.2 < cost["ratio"] < 5
