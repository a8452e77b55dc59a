"""Those that follow an exchange."""

import inspect
from unittest.mock import Mock

from sidecar.proxy.codecs import Codecs
from sidecar.proxy.observer import ExchangeObserver, PairOfObservers
from tests.fakes.multiplexed import Kind, Multiplexed, frame
from tests.fakes.playbook import Stage


class Diary(ExchangeObserver):
    """Notes by name what it is told."""

    def __init__(self, line: bytes) -> None:
        self.line = line
        self.told: list[str] = []

    def __getattribute__(self, name: str) -> object:
        if name.startswith("on_"):
            object.__getattribute__(self, "told").append(name)
        return object.__getattribute__(self, name)

    def fields(self, number: int, owner: object) -> bytes:
        return self.line


def test_two_are_told_the_same_and_both_add_their_lines() -> None:
    on = Stage(Codecs(Multiplexed, {}))
    one, other = Diary(b"a: 1\r\n"), Diary(b"b: 2\r\n")

    on.ask(observer=PairOfObservers(one, other))
    asked = on.transports[0].take()
    on.connections[0].data_received(frame(1, Kind.HEAD, b"503\r\n") + frame(1, Kind.END))  # type: ignore[attr-defined]
    on.loop.advance(0.2)
    on.connections[0].data_received(frame(2, Kind.HEAD, b"200\r\n") + frame(2, Kind.END))  # type: ignore[attr-defined]

    assert b"a: 1\r\nb: 2\r\n" in asked
    assert one.told == other.told
    assert one.told == [
        "on_begin",
        "on_admission",
        "on_attempt",
        "on_outcome",
        "on_status",
        "on_departure",
        "on_attempt",
        "on_outcome",
        "on_status",
        "on_end",
    ]


def test_a_pair_passes_on_whatever_an_observer_can_be_told() -> None:
    one, other = Mock(ExchangeObserver), Mock(ExchangeObserver)
    one.fields.return_value = other.fields.return_value = b""
    pair = PairOfObservers(one, other)
    names = [name for name in vars(ExchangeObserver) if not name.startswith("_")]

    for name in names:
        taken = list(inspect.signature(getattr(pair, name)).parameters.values())
        named = {one.name: None for one in taken if one.kind is inspect.Parameter.KEYWORD_ONLY}
        getattr(pair, name)(*[None] * (len(taken) - len(named)), **named)

    for name in names:
        assert getattr(one, name).call_count == getattr(other, name).call_count == 1, name
