"""A slot that becomes free wakes the originals that wait for it."""

import math

from msgspec.structs import replace

from sidecar.engine.destination import Destination
from sidecar.engine.outcome import Result
from sidecar.engine.policy import ConcurrencyPolicy, LimitKind
from sidecar.engine.retry import Admission, RetryState
from sidecar.proxy.waiters import wake_waiters
from tests.fakes.house import GENEROUS

ONE = ConcurrencyPolicy(limit=LimitKind.FIXED, initial=1, min_in_flight=1, max_in_flight=1)


class Host:
    """An exchange of which only its turn is of interest."""

    def __init__(self) -> None:
        self.turns: list[float] = []

    def on_turn(self, now: float) -> None:
        self.turns.append(now)

    def wait_until(self, instant: float) -> None:
        raise AssertionError(instant)


def test_a_slot_that_is_free_goes_to_one_of_those_who_wait() -> None:
    destination = Destination("payments", replace(GENEROUS, concurrency=ONE), lambda: 0.5, 0.0)
    under_way = RetryState(destination, 0.0, math.inf)
    assert under_way.admit(0.0) is Admission.GO
    hosts = []
    for _ in range(2):
        waiting = RetryState(destination, 0.0, math.inf)
        assert waiting.admit(0.0) is Admission.WAIT
        waiting.host = Host()
        hosts.append(waiting.host)

    wake_waiters(destination, 0.1)
    before = [len(host.turns) for host in hosts]
    under_way.on_status(0.2, 200, None)
    under_way.finish(0.2, Result.SUCCESS)
    wake_waiters(destination, 0.2)

    assert before == [0, 0]
    assert [turn for host in hosts for turn in host.turns][:1] == [0.2]
