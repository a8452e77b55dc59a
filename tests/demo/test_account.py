import io
import json

from rich.console import Console

from sidecar.demo.account import Account
from sidecar.demo.figures import figures
from sidecar.demo.reading import SideReading
from tests.demo.sides import TROUBLED, side


def account(reading: SideReading | None = None) -> Account:
    governed = side("++--++++++", name="with the sidecar")
    naive = side("++--------", attempts=[40, 40, 80] + [120] * 7, name="naive, 3 retries", wasted=10)
    return Account(
        script=TROUBLED,
        seed=7,
        governed=figures(governed, TROUBLED),
        naive=figures(naive, TROUBLED),
        sides=(governed, naive),
        reading=reading,
    )


def drawn(width: int) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(account().table())
    return console.export_text()


def test_the_table_has_both_sides_of_every_figure() -> None:
    rows = {line.strip() for line in drawn(100).splitlines()}

    cells = {row.split("  ")[0]: row.split("  ")[1:] for row in rows}
    figures_of = {label: [cell.strip() for cell in rest if cell.strip()] for label, rest in cells.items()}

    assert figures_of["success before, 2 s"] == ["100 %", "100 %"]
    assert figures_of["success during the hang, 2 s"] == ["0 %", "0 %"]
    assert figures_of["success after, 6 s"] == ["100 %", "0 %"]
    assert figures_of["attempts per request"] == ["1.00", "2.50"]
    assert figures_of["amplification, worst second"] == ["1.00", "3.00"]
    assert figures_of["peak load on the dependency"] == ["40/s", "120/s"]
    assert figures_of["of its capacity, 50/s"] == ["80 %", "240 %"]
    assert figures_of["wasted work"] == ["0 %", "83 %"]
    assert figures_of["recovered from the hang"] == ["at once", "not in 6 s"]


def test_the_table_fits_a_narrow_terminal() -> None:
    assert max(len(line) for line in drawn(40).splitlines()) <= 40


def test_the_document_is_json_and_says_what_was_counted() -> None:
    document = json.loads(json.dumps(account(SideReading(breaker="closed", refusals={"deadline": 2})).document()))

    assert document["seed"] == 7
    assert document["script"]["scenes"][1] == {"phase": "hanging", "seconds": 2.0}
    assert document["governed"]["recoveries"] == [{"trouble": "hanging", "seconds": 0.0, "watched": 6.0}]
    assert document["naive"]["recoveries"] == [{"trouble": "hanging", "seconds": None, "watched": 6.0}]
    assert document["naive"]["amplification"] == 2.5
    assert document["sidecar"]["refusals"] == {"deadline": 2}
    assert document["verdict"] == account().verdict()


def test_the_document_has_every_second_of_both_sides() -> None:
    seconds = account().document()["seconds"]

    assert isinstance(seconds, list)
    assert [row["second"] for row in seconds] == list(range(10))
    assert seconds[3]["phase"] == "hanging"
    assert seconds[3]["naive"] == {
        "requests": 40,
        "succeeded": 0,
        "attempts": 120,
        "repeated": 80,
        "served": 0,
        "wasted": 40,
    }
    assert seconds[3]["governed"]["attempts"] == 40


def test_a_sidecar_that_told_nothing_is_not_made_up() -> None:
    assert account().document()["sidecar"] is None
