"""Who asks for what and when: the same for every subject, whatever becomes of the answers."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from loadtest.harmless.situation import Call, Situation

ID_HEADER = "x-harmless-request"
"""Of every request, kept by proxies on every attempt: its number, its kind, and its dice for how long it takes."""


@dataclass(slots=True)
class Request:
    """What a caller asks for and gets. Seconds from the start; `good`: the dependency's own answer, whole and in time.

    `door`, `first` and `second` are dice from 0 to 1. The first of them says at which proxy it comes in, and without
    one at which endpoint; the others are the dependency's, for how long it takes.
    """

    number: int
    kind: int
    at: float
    door: float
    first: float
    second: float
    took: float = 0.0
    good: bool = False

    def identity(self) -> str:
        return f"{self.number} {self.kind} {self.first:.6f} {self.second:.6f}"


def planned(situation: Situation, seed: int) -> list[Request]:
    """Every request that does not depend on an answer, in the order in which they are made."""
    made: list[Request] = []
    for kind, call in enumerate(situation.calls):
        dice = random.Random(f"{seed} {situation.name} {call.name}")
        made += [
            Request(0, kind, at, dice.random(), dice.random(), dice.random()) for at in _instants(call, situation, dice)
        ]
    made.sort(key=lambda request: request.at)
    for number, request in enumerate(made):
        request.number = number
    return made


def asked_by(situation: Situation, kind: int, caller: int, seed: int) -> Iterator[Request]:
    """What one caller of a closed loop asks for, one after the other; `at` is the caller's to set."""
    dice = random.Random(f"{seed} {situation.name} {kind} {caller}")
    number = (1 + kind) * 100_000_000 + caller * 10_000
    while True:
        yield Request(number, kind, 0.0, dice.random(), dice.random(), dice.random())
        number += 1


def _instants(call: Call, situation: Situation, dice: random.Random) -> Iterator[float]:
    if call.burst:
        yield from [call.at] * call.burst
    elif call.rate:
        # Dice of their own: how many others a request draws does not change when the next one comes.
        gaps = random.Random(dice.random())
        at = call.begins + gaps.expovariate(call.rate)
        while at < min(call.ends, situation.seconds):
            yield at
            at += gaps.expovariate(call.rate)
