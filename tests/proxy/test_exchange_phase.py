"""Every step of an exchange is one that the table of its phases has, whatever happens in whatever order."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sidecar.engine.policy import ConcurrencyPolicy, LimitKind
from sidecar.proxy.codecs import Codecs
from sidecar.proxy.exchange import Exchange
from sidecar.proxy.exchange_phase import TRANSITIONS, ExchangeEvent, ExchangePhase
from sidecar.proxy.replay import ReplayBuffer
from sidecar.wire.framing import CHUNKED
from sidecar.wire.head import RequestHead
from sidecar.wire.malformed import Malformed
from tests.fakes.house import GENEROUS
from tests.fakes.multiplexed import Kind, Multiplexed, frame
from tests.fakes.playbook import Client, Stage

EVENT_OF = {
    "begin": ExchangeEvent.BEGIN,
    "on_turn": ExchangeEvent.TURN,
    "on_connected": ExchangeEvent.CONNECTED,
    "on_connect_failure": ExchangeEvent.CONNECT_FAILURE,
    "on_response": ExchangeEvent.RESPONSE,
    "on_body": ExchangeEvent.BODY,
    "on_end": ExchangeEvent.END,
    "on_malformed": ExchangeEvent.MALFORMED_RESPONSE,
    "on_lost": ExchangeEvent.LOST,
    "on_request_body": ExchangeEvent.REQUEST_BODY,
    "on_request_end": ExchangeEvent.REQUEST_END,
    "on_request_malformed": ExchangeEvent.MALFORMED_REQUEST,
    "on_client_gone": ExchangeEvent.CLIENT_GONE,
    "on_timer": ExchangeEvent.TIMER,
}


class Watched(Exchange):
    """Notes each step that it makes."""

    steps: "list[tuple[ExchangePhase, ExchangeEvent, ExchangePhase]]" = []  # noqa: RUF012 - cleared by each test


def _watched(name: str, event: ExchangeEvent) -> Callable[..., None]:
    def method(self: Watched, *arguments: object) -> None:
        before = self.phase
        getattr(Exchange, name)(self, *arguments)
        Watched.steps.append((before, event, self.phase))

    return method


for _name, _event in EVENT_OF.items():
    setattr(Watched, _name, _watched(_name, _event))

ACTIONS = st.lists(
    st.sampled_from(
        [
            "ask",
            "upload",
            "piece",
            "whole",
            "nonsense",
            "leave",
            "connect",
            "refuse connect",
            "good",
            "bad",
            "head",
            "data",
            "end",
            "refused",
            "lose",
            "malformed",
            "wait",
            "wait long",
            "other",
        ]
    ),
    max_size=40,
)


class Play:
    """Carries out actions on whatever exchange or stream there is for them."""

    def __init__(self) -> None:
        one = ConcurrencyPolicy(limit=LimitKind.FIXED, initial=2, min_in_flight=2, max_in_flight=2)
        self.on = Stage(Codecs(Multiplexed, {}), replace(GENEROUS, concurrency=one), connects_at_once=False)
        self.clients: list[Client] = []
        self.made: list[Multiplexed] = []
        self.at = 0

    def begin(self, *, upload: bool) -> None:
        on = self.on
        client = Client(on.context)
        head = RequestHead(b"PUT" if upload else b"GET", b"/", 1)
        head.framing = CHUNKED if upload else head.framing
        exchange = client.exchange = Watched(on.context, client, on.route, head, on.loop.now)
        if upload:
            exchange.expect_body(on.loop.now)
        exchange.begin(on.loop.now)
        self.clients.append(client)

    @property
    def uploads(self) -> list[Exchange]:
        open_ones = [client.exchange for client in self.clients if client.exchange is not None]
        return [one for one in open_ones if isinstance(one._body, ReplayBuffer) and one._trailers is None]

    @property
    def streams(self) -> list[tuple[Multiplexed, int]]:
        for address in self.on.pool.addresses:
            for connection in address.spare:
                if connection not in self.made:
                    assert isinstance(connection, Multiplexed)
                    self.made.append(connection)
        return [(connection, number) for connection in self.made for number in connection.streams]

    def act(self, action: str) -> None:
        if action in ("ask", "upload"):
            self.begin(upload=action == "upload")
        elif action in ("piece", "whole", "nonsense") and self.uploads:
            exchange = self.uploads[0]
            if action == "piece":
                exchange.on_request_body(b"x" * 30_000)
            elif action == "whole":
                exchange.on_request_end(b"")
            else:
                exchange.on_request_malformed(Malformed(400, "bad_chunk", "nonsense"))
        elif action == "leave" and self.clients:
            exchange = self.clients.pop(0).exchange  # type: ignore[assignment]
            exchange.on_client_gone()
        elif action in ("connect", "refuse connect") and self.on.connects:
            self.on.connects.pop(0).open(None if action == "connect" else ConnectionRefusedError())
        elif action in ("wait", "wait long"):
            self.on.loop.advance(0.1 if action == "wait" else 4.0)
        elif action == "other":
            self.at += 1
        elif self.streams:
            self.of_stream(action, *self.streams[self.at % len(self.streams)])

    def of_stream(self, action: str, connection: Multiplexed, number: int) -> None:
        said = connection.streams[number]._head is not None or connection.streams[number]._told
        if action == "lose":
            connection.connection_lost(None)
        elif action == "malformed":
            stream = connection.streams[number]
            stream._leave()
            stream.receiver.on_malformed(stream, Malformed(502, "bad_field", "nonsense"))
        elif action == "refused" and not said:
            connection.data_received(frame(number, Kind.REFUSED))
        elif action in ("good", "bad", "head") and not said:
            connection.streams[number]._told = True
            connection.data_received(frame(number, Kind.HEAD, b"503\r\n" if action == "bad" else b"200\r\n"))
            if action != "head":
                connection.data_received(frame(number, Kind.END))
        elif action in ("data", "end") and said:
            connection.data_received(frame(number, Kind.DATA if action == "data" else Kind.END, b""))


@settings(max_examples=300, deadline=None)
@given(ACTIONS)
def test_no_step_is_made_that_the_table_does_not_have_and_nothing_stays_taken(actions: list[str]) -> None:
    Watched.steps.clear()
    play = Play()

    for action in actions:
        play.act(action)
    for client in play.clients:
        assert client.exchange is not None
        client.exchange.on_client_gone()
    play.on.loop.advance(60.0)

    assert play.on.destination.limiter.awaited == 0
    for before, event, after in Watched.steps:
        if before is not ExchangePhase.OVER:
            assert after in TRANSITIONS.get((before, event), ()), (before, event, after)
        else:
            assert after is ExchangePhase.OVER
    assert play.on.context.busy == 0
    assert play.on.destination.limiter.in_flight == 0
    assert not play.on.destination.limiter.waiting
    assert play.on.pool.addresses[0].in_flight == 0


def test_the_table_leads_from_every_phase_to_the_end() -> None:
    for phase in ExchangePhase:
        reached = {after for (before, _), phases in TRANSITIONS.items() if before is phase for after in phases}

        assert ExchangePhase.OVER in reached
