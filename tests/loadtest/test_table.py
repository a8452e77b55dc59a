"""The tables say what was measured, and shout what was wrong."""

from io import StringIO

from rich.console import Console, RenderableType

from loadtest import table
from loadtest.bars import judge
from loadtest.figures import Results
from tests.loadtest.results import a_round, good, two_rounds

VERSIONS = {"envoy": "1.40.0", "sidecar": "0.1.0"}


def printed(shown: RenderableType) -> str:
    out = StringIO()
    Console(file=out, width=160).print(shown)
    return out.getvalue()


def report(results: Results) -> str:
    return printed(table.report(results, VERSIONS, {"get": "GET, 65 bytes"}, ["two rounds"]))


def row(text: str, name: str) -> list[str]:
    """The cells of the first line of a table that begins with the name."""
    line = next(line for line in text.splitlines() if line.startswith(f"│ {name}"))
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_a_row_has_every_figure_with_its_ratio() -> None:
    text = report(good())

    assert row(text, "sidecar") == [
        "sidecar 0.1.0",
        *("45.0", "0.40"),
        *("25,000", "2.50"),
        *("1.00", "1.00"),
        *("2.00", "1.00"),
        "99%",
        "0",
    ]
    assert "two rounds" in text
    assert "GET, 65 bytes" in text


def test_a_run_without_the_baseline_shows_no_ratios() -> None:
    text = report(Results("envoy", {"sidecar": [a_round(40.0)]}))

    assert row(text, "sidecar") == ["sidecar 0.1.0", "40.0", "25,000", "1.00", "2.00", "99%", "0"]


def test_wrong_answers_are_shouted_with_their_reasons() -> None:
    results = two_rounds(sidecar=(a_round(30.0, reset=1), a_round(30.0, reset=2)), envoy=(a_round(75.0), a_round(75.0)))

    text = report(results)

    assert row(text, "sidecar")[-1] == "3"
    assert "WRONG ANSWERS: sidecar, get: reset (3)" in text


def test_a_proxy_that_was_not_at_its_limit_is_marked() -> None:
    idle = a_round(30.0)
    idle.figures["get.busy_share"] = 0.5

    text = report(Results("envoy", {"envoy": [a_round(75.0)], "sidecar": [idle]}))

    assert row(text, "sidecar")[-2] == "50% (not its limit)"


def test_a_latency_that_is_the_generators_own_is_marked() -> None:
    late = a_round(30.0)
    late.figures["half.late_ms"] = late.figures["half.p99_ms"]

    text = report(Results("envoy", {"sidecar": [late]}))

    assert "0.30 (generator's p99)" in text


def test_every_bar_is_shown_with_limit_value_and_mark() -> None:
    text = printed(table.bars(judge(good()), "envoy"))

    assert row(text, "cpu per small GET") == [
        "cpu per small GET",
        "0.45 x envoy (aim 0.4)",
        "0.40 x envoy",
        "0.40 to 0.40",
        "✓ met",
    ]
    assert row(text, "start to first answer")[2:] == ["0.40", "0.40 to 0.40", "✓ met"]
    assert row(text, "cpu per 1 MiB")[2:] == ["-", "-", "- not measured"]
