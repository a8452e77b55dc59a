"""The table of an exchange: its phases, the events that can happen in each, and the phases that follow.

An attempt that is late is the *elder* once its retry is granted: it goes on beside it, whatever the phase of the retry.
CONNECTING, SENT and BACKING_OFF are the retry's then, and a RESPONSE, a MALFORMED_RESPONSE or a LOST may be the
elder's; SENT follows once more when the retry has come to nothing and the elder is awaited alone.

This is the one table of it. `exchange.py` carries it out; the tests of the exchange hold every step it makes to it.
"""

from enum import Enum, IntEnum
from typing import Final


class ExchangePhase(IntEnum):
    """The phase of an exchange."""

    WAITING = 0
    """The original asks for admission, or waits for it."""
    CONNECTING = 1
    """An attempt has begun, and waits for a stream."""
    SENT = 2
    """The request, or its beginning, has gone to the endpoint."""
    BACKING_OFF = 3
    """A retry is granted, and waits for its instant. A bad answer may be held meanwhile."""
    RELAYING = 4
    """The response is committed: its head has been passed on, its body is on its way."""
    OVER = 5


class ExchangeEvent(Enum):
    """The events of an exchange."""

    BEGIN = "begin"
    TURN = "turn"
    """A slot was found for a waiting original."""
    CONNECTED = "connected"
    CONNECT_FAILURE = "connect_failure"
    RESPONSE = "response"
    BODY = "body"
    END = "end"
    """The response is complete."""
    MALFORMED_RESPONSE = "malformed_response"
    LOST = "lost"
    """The stream is gone before its response was complete."""
    REQUEST_BODY = "request_body"
    REQUEST_END = "request_end"
    MALFORMED_REQUEST = "malformed_request"
    CLIENT_GONE = "client_gone"
    TIMER = "timer"


_W, _C, _S, _B, _R, _O = ExchangePhase
_ATTEMPTED: Final = frozenset({_C, _S})
"""A new attempt: sent at once on a connection that was free, or waiting for one."""

TRANSITIONS: Final[dict[tuple[ExchangePhase, ExchangeEvent], frozenset[ExchangePhase]]] = {
    (_W, ExchangeEvent.BEGIN): frozenset({_W, _O}) | _ATTEMPTED,
    (_W, ExchangeEvent.TURN): frozenset({_W, _O}) | _ATTEMPTED,
    (_W, ExchangeEvent.TIMER): frozenset({_W, _O}) | _ATTEMPTED,
    (_C, ExchangeEvent.CONNECTED): frozenset({_S}),
    (_C, ExchangeEvent.CONNECT_FAILURE): frozenset({_S, _B, _O}),
    (_C, ExchangeEvent.TIMER): frozenset({_C, _B, _O}),
    (_C, ExchangeEvent.RESPONSE): frozenset({_C, _R, _O}),
    (_C, ExchangeEvent.MALFORMED_RESPONSE): frozenset({_C}),
    (_C, ExchangeEvent.LOST): frozenset({_C}),
    (_S, ExchangeEvent.RESPONSE): frozenset({_S, _B, _R, _O}),
    (_S, ExchangeEvent.MALFORMED_RESPONSE): frozenset({_S, _B, _O}),
    (_S, ExchangeEvent.LOST): frozenset({_B, _O}) | _ATTEMPTED,
    (_S, ExchangeEvent.TIMER): frozenset({_S, _B, _O}),
    (_B, ExchangeEvent.BODY): frozenset({_B}),
    (_B, ExchangeEvent.END): frozenset({_B}),
    (_B, ExchangeEvent.RESPONSE): frozenset({_B, _R, _O}),
    (_B, ExchangeEvent.MALFORMED_RESPONSE): frozenset({_B, _O}),
    (_B, ExchangeEvent.LOST): frozenset({_B, _O}),
    (_B, ExchangeEvent.TIMER): frozenset({_R, _O}) | _ATTEMPTED,
    (_R, ExchangeEvent.BODY): frozenset({_R}),
    (_R, ExchangeEvent.END): frozenset({_O}),
    (_R, ExchangeEvent.MALFORMED_RESPONSE): frozenset({_O}),
    (_R, ExchangeEvent.LOST): frozenset({_O}),
    (_R, ExchangeEvent.TIMER): frozenset({_R, _O}),
    **{(phase, ExchangeEvent.REQUEST_BODY): frozenset({phase}) for phase in ExchangePhase},
    **{(phase, ExchangeEvent.REQUEST_END): frozenset({phase}) for phase in ExchangePhase},
    **{(phase, ExchangeEvent.MALFORMED_REQUEST): frozenset({_O}) for phase in ExchangePhase},
    **{(phase, ExchangeEvent.CLIENT_GONE): frozenset({_O}) for phase in ExchangePhase},
}
"""The phases that may follow. What is not here does not happen; where it comes late, after OVER, it changes nothing."""
