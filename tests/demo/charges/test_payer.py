import pytest

from sidecar.demo.charges.payer import Payer, PayerCounts
from sidecar.demo.charges.play import ChargePlay

QUICK = ChargePlay(1.0, tries=4, backoff=0.0, patience=5.0)


class ScriptedService:
    """Answers the n-th try as scripted."""

    def __init__(self, *answers: int | OSError) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, order: str) -> int:
        self.asked.append(order)
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("answers", "counts"),
    [
        ([201], PayerCounts(1, 1, 1, 0)),
        ([ConnectionResetError(), 201], PayerCounts(1, 2, 1, 0)),
        ([TimeoutError(), 409, 201], PayerCounts(1, 3, 1, 0)),
        ([502, 409, 409, 200], PayerCounts(1, 4, 1, 0)),
        ([502, 502, 502, 502], PayerCounts(1, 4, 0, 1)),
        ([422], PayerCounts(1, 1, 0, 1)),
    ],
    ids=str,
)
async def test_an_order_is_tried_until_it_is_answered_for_good(
    answers: list[int | OSError], counts: PayerCounts
) -> None:
    service = ScriptedService(*answers)
    payer = Payer(QUICK, service)

    await payer.pay("order-1")

    assert payer.counts == counts
    assert service.answers == []


async def test_each_order_is_another_and_both_sides_number_them_alike() -> None:
    service = ScriptedService(201, 201, 201)
    payer = Payer(QUICK, service)

    await payer.send(iter([0.0, 0.0, 0.0]), first=7)

    assert service.asked == ["order-7", "order-8", "order-9"]
    assert payer.counts == PayerCounts(3, 3, 3, 0)
