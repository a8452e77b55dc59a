"""Which protocol is spoken to an endpoint."""

from types import SimpleNamespace

import pytest

from sidecar.proxy.codecs import HTTP1, Codecs
from sidecar.proxy.upstream import Upstream
from tests.fakes.multiplexed import Multiplexed
from tests.fakes.playbook import FakeTransport, Stage

BOTH = Codecs(Upstream, {"http/1.1": Upstream, "many": Multiplexed})


class TlsTransport(FakeTransport):
    """A connection whose handshake has just ended."""

    def __init__(self, chosen: str | None) -> None:
        super().__init__()
        self.chosen = chosen
        self.protocol: object = None

    def get_extra_info(self, name: str) -> object:
        if name == "ssl_object":
            return SimpleNamespace(selected_alpn_protocol=lambda: self.chosen)
        return SimpleNamespace(fileno=lambda: 0)

    def set_protocol(self, protocol: object) -> None:
        self.protocol = protocol


@pytest.mark.parametrize(("chosen", "codec"), [("many", Multiplexed), ("http/1.1", Upstream), (None, Upstream)])
def test_alpn_chooses_the_protocol_before_a_byte_is_read(chosen: str | None, codec: type) -> None:
    on = Stage(BOTH)
    transport = TlsTransport(chosen)
    new = BOTH.connection(on.context, on.pool.addresses[0], secure=True)

    new.protocol.connection_made(transport)  # type: ignore[arg-type]

    assert type(new.connection) is codec
    assert transport.protocol is new.connection
    assert on.pool.addresses[0].open == 1
    new.give_up()
    assert on.pool.addresses[0].open == 0


def test_in_clear_the_configuration_says_what_is_spoken() -> None:
    on = Stage(Codecs(Multiplexed, {"http/1.1": Upstream}))

    on.ask()

    assert type(on.connections[0]) is Multiplexed


def test_where_one_protocol_is_spoken_nothing_is_chosen() -> None:
    on = Stage(HTTP1)

    new = HTTP1.connection(on.context, on.pool.addresses[0], secure=True)

    assert type(new.connection) is Upstream
