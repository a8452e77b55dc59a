"""The picture in a terminal, at several sizes and in several moods."""

import io
import re
from functools import cache

import pytest
from msgspec import structs
from rich.console import Console

from sidecar.watch.document import LiveDocument
from sidecar.watch.screen import Link, Screen
from tests.watch.documents import after_a_hang, after_a_storm, content_of, decode, storm

LIVE = Link("127.0.0.1:16000")


def drawn(document: LiveDocument, width: int = 140, height: int | None = None, link: Link = LIVE) -> list[str]:
    file = io.StringIO()
    console = Console(width=width, file=file, legacy_windows=False)
    console.print(Screen(_Utf(console)).frame(document, link, height))
    return file.getvalue().splitlines()


class _Utf:
    """A console of that width that can show everything."""

    encoding = "utf-8"

    def __init__(self, console: Console) -> None:
        self.width = console.width


@cache
def in_storm() -> LiveDocument:
    return decode(content_of(storm(60, after=-1)), "here")


def test_the_verdict_comes_first_then_the_destinations_the_worst_first() -> None:
    lines = drawn(in_storm())

    assert "▲ payments is failing: " in lines[2]
    assert "breaker_open" in lines[3]
    names = [line.split()[1] for line in lines if line.startswith(("▲", "●", "◐"))]
    assert names == ["payments", "ledger", "search"]


def test_a_line_has_the_numbers_of_the_page() -> None:
    document = in_storm()
    (line,) = [line for line in drawn(document) if line.startswith("▲ payments")]
    payments = document.destinations[0]

    assert f"{payments.lately.amplification:.2f}" in line
    assert f"{payments.lately.bad / payments.lately.requests:.0%}" in line
    assert f"{payments.budget.balance:.1f}" in line
    assert " open " in line
    assert f"breaker_open {payments.lately.refusals['breaker_open']}" in line


@pytest.mark.parametrize("width", [40, 60, 80, 100, 132, 200])
@pytest.mark.parametrize("height", [10, 24, 50])
def test_it_fits_the_terminal(width: int, height: int) -> None:
    lines = drawn(in_storm(), width, height)

    assert all(len(line) <= width for line in lines)
    assert len(lines) <= height
    assert "payments is failing" in lines[2]


def test_eighty_columns_show_whole_names() -> None:
    lines = drawn(in_storm(), 80, 24)

    assert any(line.startswith("▲ payments ") for line in lines)


@pytest.mark.parametrize("width", [36, 50, 80])
def test_no_width_cuts_off_why_retries_were_refused(width: int) -> None:
    lines = drawn(in_storm(), width, 24)

    said = " ".join(" ".join(line.split()) for line in lines[:6])
    assert re.search(r"\d+ refused: breaker_open", said)
    assert width < 50 or sum(line.endswith("503 breaker_open") for line in map(str.rstrip, lines)) >= 5


@pytest.mark.parametrize("width", [36, 50, 80])
def test_a_narrow_terminal_keeps_whom_it_speaks_of_and_whether_it_amplifies(width: int) -> None:
    lines = drawn(in_storm(), width, 24)

    heads = next(line.split() for line in lines if line.startswith("  destination"))
    assert {"destination", "att/req", "bad"} <= set(heads)
    assert [line.split()[1] for line in lines if line.startswith(("▲ ", "● ", "◐ "))] == [
        "payments",
        "ledger",
        "search",
    ]


def test_a_route_with_a_contract_has_a_line_with_its_replays_refusals_and_probes() -> None:
    lines = drawn(in_storm())

    (about,) = [line for line in lines if "idempotency keys" in line]
    (pay,) = [line.split() for line in lines if line.startswith("  pay ")]
    assert "3 unknown  store failing  p99 3.0ms  failures 4" in about
    assert pay == ["pay", "13", "20.0%", "8", "in_flight", "3", "applied", "6"]


def test_without_a_gate_nothing_is_said_of_keys() -> None:
    assert not [line for line in drawn(structs.replace(in_storm(), keys=None)) if "idempotency" in line]


def test_a_low_terminal_leaves_the_keys_out_before_it_leaves_out_destinations() -> None:
    low, usual, high = (drawn(in_storm(), height=height) for height in (14, 24, 40))

    assert not [line for line in low if "idempotency keys" in line]
    assert [line for line in usual if "idempotency keys" in line]
    assert not [line for line in usual if line.startswith("  pay ")]
    assert [line for line in high if line.startswith("  pay ")]
    for lines in (low, usual, high):
        assert [line for line in lines if line.startswith(("▲ payments", "● search"))]


def test_an_exchange_is_told_with_its_attempts_and_the_pauses_between() -> None:
    text = "\n".join(drawn(after_a_storm()))

    assert " ─ " in text
    assert "never sent" in "\n".join(drawn(in_storm()))
    assert "(+" in "\n".join(drawn(in_storm()))


def test_many_destinations_leave_the_worst_and_say_how_many_are_left_out() -> None:
    document = in_storm()
    many = [structs.replace(document.destinations[2], name=f"calm-{number}") for number in range(40)]
    crowd = structs.replace(document, destinations=[*many, document.destinations[0]])

    lines = drawn(crowd, 100, 24)

    assert any(line.startswith("▲ payments") for line in lines)
    assert any("more, none of them worse" in line for line in lines)
    assert len(lines) <= 24


def test_a_lost_connection_is_said_and_what_is_shown_is_as_it_was() -> None:
    lines = drawn(after_a_hang(), link=Link("127.0.0.1:16000", 7.0, "no sidecar answers"))

    assert "disconnected for 7 s, trying again" in lines[0]
    assert "as it was then; no sidecar answers" in lines[3]


def test_hostile_names_can_not_paint_the_terminal() -> None:
    document = in_storm()
    evil = structs.replace(document.destinations[0], name="x\x1b]0;owned\x07\x1b[2J")
    exchange = structs.replace(document.exchanges[0], target="/\x1b[31m\r\n", method="G\x1bT")

    text = "\n".join(drawn(structs.replace(document, destinations=[evil], exchanges=[exchange]), 260))

    assert "\x1b]0" not in text
    assert "\x07" not in text
    assert "\\x1b[2J" in text


def test_a_terminal_without_utf8_gets_plain_signs() -> None:
    console = Console(width=140, file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"))

    console.print(Screen(console).frame(in_storm(), LIVE))

    assert console.encoding == "ascii"
