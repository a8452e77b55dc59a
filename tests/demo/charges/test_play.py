from collections import Counter

from sidecar.demo.charges.play import AnswerFate, ChargePlay


def test_the_fate_of_an_answer_follows_from_seed_order_and_arrival_alone() -> None:
    play = ChargePlay(4.0)

    told = [play.fate(1, f"order-{n}", 1) for n in range(50)]

    assert told == [ChargePlay(9.0).fate(1, f"order-{n}", 1) for n in range(50)]
    assert told != [play.fate(2, f"order-{n}", 1) for n in range(50)]
    assert told != [play.fate(1, f"order-{n}", 2) for n in range(50)]


def test_the_fates_have_their_shares() -> None:
    play = ChargePlay(4.0, lost=0.2, late=0.1)

    counted = Counter(play.fate(1, f"order-{n}", 1) for n in range(5000))

    assert 900 < counted[AnswerFate.LOST] < 1100
    assert 400 < counted[AnswerFate.LATE] < 600
