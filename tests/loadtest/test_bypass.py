"""The measurement of the bypass detector runs, and the detector counts what it is about. No test asserts a time."""

import json

from click.testing import CliRunner

from loadtest.bypass import bypass


def test_every_connection_is_counted_and_timed() -> None:
    ran = CliRunner().invoke(bypass, ["--sockets", "20", "--sockets", "40", "--samples", "2", "--json"])

    few, more = json.loads(ran.output)
    assert ran.exit_code == 0
    assert (few["counted"], more["counted"]) == (10, 20)
    assert few["sample_ms"] > 0
    assert few["loop_delay_without_ms"] >= 0
