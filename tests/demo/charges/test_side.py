import pytest

from sidecar.demo.charges.payer import PayerCounts
from sidecar.demo.charges.side import ChargeSide, ServiceCounts

TOLD = {"event": "counts", "orders": 3, "charges": 5, "twice": 1, "most": 3, "requests": 6, "lost": 2, "late": 1}


def test_what_the_service_tells_is_what_is_known() -> None:
    side = ChargeSide("naive")

    side.hear_service(TOLD)

    assert side.service == ServiceCounts(3, 5, 1, 3, 6, 2, 1)
    assert side.charges_per_order == pytest.approx(5 / 3)
    assert not side.at_most_once


def test_before_the_first_charge_nothing_was_charged_twice() -> None:
    side = ChargeSide("naive")

    assert side.charges_per_order == 0.0
    assert side.at_most_once


def test_a_second_client_goes_on_with_the_counts_of_the_first() -> None:
    side = ChargeSide("naive")
    side.hear_client({"event": "counts", "orders": 4, "tries": 9, "paid": 3, "given_up": 1})

    side.begin_again()
    side.hear_client({"event": "counts", "orders": 1, "tries": 2, "paid": 1, "given_up": 0})
    side.hear_client({"event": "counts", "orders": 2, "tries": 3, "paid": 2, "given_up": 0})

    assert side.client == PayerCounts(6, 12, 5, 1)
