from io import StringIO

from rich.console import Console

from sidecar.demo.charges.account import ChargeAccount
from sidecar.demo.charges.payer import PayerCounts
from sidecar.demo.charges.play import FULL_CHARGES
from sidecar.demo.charges.side import ChargeSide, ServiceCounts


def account(*, gated_twice: int = 0, given_up: int = 0) -> ChargeAccount:
    gated = ServiceCounts(80, 80 + gated_twice, gated_twice, 1 + bool(gated_twice), 80, 13, 9)
    naive = ServiceCounts(80, 111, 22, 5, 111, 18, 13)
    return ChargeAccount(
        FULL_CHARGES,
        1,
        ChargeSide("behind the gate", gated, PayerCounts(80, 133, 80 - given_up, given_up)),
        ChargeSide("naive", naive, PayerCounts(80, 111, 80, 0)),
    )


def shown(one: ChargeAccount) -> str:
    console = Console(width=100, record=True, quiet=False, file=StringIO())
    console.print(one.table())
    return console.export_text()


def test_the_table_has_both_sides_beside_each_other() -> None:
    lines = [line.split() for line in shown(account()).splitlines()]

    assert ["orders", "80", "80"] in lines
    assert ["charges", "80", "111"] in lines
    assert ["orders", "charged", "twice", "or", "more", "0", "22"] in lines
    assert ["charges", "per", "order", "1.00", "1.39"] in lines


def test_the_verdict_says_what_was_counted() -> None:
    assert account().at_most_once
    assert account().verdict() == (
        "Behind the gate none of 80 orders was charged twice. The client that just tries again had 22 of 80 charged "
        "twice or more, 31 charges too many."
    )


def test_an_order_charged_twice_behind_the_gate_is_said_and_is_a_failure() -> None:
    failed = account(gated_twice=2)

    assert not failed.at_most_once
    assert "Behind the gate 2 of 80 orders were charged twice or more, which may not be" in failed.verdict()
    assert failed.document()["at_most_once"] is False


def test_orders_of_which_the_client_heard_nothing_are_not_kept_silent_about() -> None:
    assert "of 3 the client heard no outcome in 8 tries" in account(given_up=3).verdict()


def test_a_run_in_which_nothing_was_charged_shows_nothing() -> None:
    empty = ChargeAccount(FULL_CHARGES, 1, ChargeSide("behind the gate"), ChargeSide("naive"))

    assert not empty.at_most_once


def test_the_document_has_the_counts_of_both() -> None:
    document = account().document()

    assert document["gated"]["service"]["charges"] == 80  # type: ignore[index]
    assert document["naive"]["service"]["charges"] == 111  # type: ignore[index]


def test_a_line_has_the_gist() -> None:
    line = account().line(7.2)

    assert line == (
        "   7 s | behind the gate: 80 orders, 80 charges, 0 twice | naive: 80 orders, 111 charges, 22 twice"
    )
