"""A new policy for some pods first: which pods, what became of it there, and when it is given up.

The share is stable: a pod that is chosen at 5 % is chosen at 25 %, and stays so over restarts under the same name.
Which pods are chosen differs from version to version, so that it is not always the same ones that go first.
"""

import hashlib
from collections import deque
from collections.abc import Mapping

from msgspec import Struct

from sidecar.governance.documents.document import AbortCondition


def position(service: str, pod: str, version: int) -> float:
    """The pod's place in the order in which pods get this version: a percentage, 0 or more and below 100."""
    digest = hashlib.sha256(f"{service}\0{pod}\0{version}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / (1 << 48) * 100


class Load(Struct, frozen=True):
    """The attempts sent to one destination since the start, and the requests that caused them."""

    attempts: int
    requests: int


class Breach(Struct, frozen=True):
    """The amplification that made a version unwelcome, and where."""

    destination: str
    amplification: float
    requests: int


class AmplificationWatch:
    """Attempts per request since a version was adopted, over a sliding window at most, for each destination.

    What was counted before the adoption is the older version's doing. Times are seconds of one clock.
    """

    def __init__(self, condition: AbortCondition, loads: Mapping[str, Load], now: float) -> None:
        self._condition = condition
        self._samples: deque[tuple[float, Mapping[str, Load]]] = deque([(now, dict(loads))])

    def sample(self, loads: Mapping[str, Load], now: float) -> Breach | None:
        """Take in what was counted up to now. The worst breach of the condition, None while there is none."""
        condition, samples = self._condition, self._samples
        while len(samples) > 1 and samples[1][0] <= now - condition.window:
            samples.popleft()
        _, before = samples[0]
        breaches = []
        for name, load in loads.items():
            base = before.get(name, Load(0, 0))
            requests = load.requests - base.requests
            if requests < condition.min_requests:
                continue
            amplification = (load.attempts - base.attempts) / requests
            if amplification > condition.amplification:
                breaches.append(Breach(name, amplification, requests))
        # Few samples are enough: the window's edge moves in steps of a thirtieth of it.
        if now - samples[-1][0] >= condition.window / 30:
            samples.append((now, dict(loads)))
        return max(breaches, key=lambda breach: breach.amplification, default=None)
