"""An exchange whose idempotency key stands in its JSON body, or is made of a value there: the body is read first.

To the client's connection it is the exchange until the key is known; from then on it hands everything on to the
exchange proper, which knows nothing of it. A body that is longer than is kept for retries is passed on as it comes,
without a key: it would be sent once only anyhow.
"""

from collections.abc import Callable

from sidecar.proxy.context import ProxyContext
from sidecar.proxy.exchange import Exchange
from sidecar.proxy.key_dialect import KeyDialect
from sidecar.proxy.problem import Problem
from sidecar.proxy.replies import CONTINUE
from sidecar.proxy.response_writer import ResponseWriter
from sidecar.proxy.route import Route
from sidecar.wire.head import RequestHead
from sidecar.wire.malformed import Malformed


class BodyKeyedExchange:
    """One request. `make` makes its exchange proper of a head, at a moment."""

    __slots__ = (
        "_begun",
        "_body",
        "_complete",
        "_context",
        "_dialect",
        "_exchange",
        "_head",
        "_limit",
        "_make",
        "_over",
        "_route",
        "_trailers",
        "_writer",
    )

    def __init__(
        self,
        context: ProxyContext,
        writer: ResponseWriter,
        route: Route,
        head: RequestHead,
        dialect: KeyDialect,
        make: Callable[[RequestHead, float], Exchange],
    ) -> None:
        self._context = context
        self._writer = writer
        self._route = route
        self._head = head
        self._dialect = dialect
        self._make = make
        self._limit = route.destination.policy.retry.replay_buffer_bytes
        self._exchange: Exchange | None = None
        self._body = bytearray()
        self._trailers = b""
        self._complete = True
        self._begun = self._over = False
        context.busy += 1

    # What the connection tells an exchange

    def expect_body(self, now: float) -> None:
        """A body follows the head."""
        self._complete = False
        if self._head.expects_continue:
            self._writer.interim(CONTINUE)
        self._writer.timer.arm(now + self._context.limits.idle_timeout)

    def whole_body(self, data: bytes) -> None:
        """All of the body has come already."""
        self._body += data

    def begin(self, now: float) -> None:
        """Nothing that was announced is missing but, perhaps, the rest of the body."""
        self._begun = True
        self._start_when_known(now)

    def on_request_body(self, data: bytes) -> None:
        """More of the body."""
        if self._exchange is not None:
            self._exchange.on_request_body(data)
        elif not self._over:
            now = self._context.clock()
            self._body += data
            self._writer.timer.arm(now + self._context.limits.idle_timeout)
            self._start_when_known(now)

    def on_request_end(self, trailers: bytes) -> None:
        """The request has been read to its end."""
        if self._exchange is not None:
            self._exchange.on_request_end(trailers)
        elif not self._over:
            self._trailers = trailers
            self._complete = True
            self._start_when_known(self._context.clock())

    def on_request_malformed(self, error: Malformed) -> None:
        """The body turned out to be nonsense, or did not come: nothing of it was sent."""
        if self._exchange is not None:
            self._exchange.on_request_malformed(error)
        elif not self._over:
            self._leave()
            now = self._context.clock()
            self._writer.refuse(Problem(error.status, error.reason, error.detail, self._route.name), b"", now)

    def on_client_gone(self) -> None:
        """The client has left."""
        if self._exchange is not None:
            self._exchange.on_client_gone()
        else:
            self._leave()

    def on_client_full(self) -> None:
        """The client reads more slowly than the response comes."""
        if self._exchange is not None:
            self._exchange.on_client_full()

    def on_client_drained(self) -> None:
        """The client has caught up."""
        if self._exchange is not None:
            self._exchange.on_client_drained()

    def on_timer(self, now: float) -> None:
        """Whatever was awaited has not come in time."""
        if self._exchange is not None:
            self._exchange.on_timer(now)
        elif not self._over:
            self._context.rejections["body_timeout"] += 1
            self.on_request_malformed(Malformed(408, "body_timeout", "the request's body did not come in time"))

    # The exchange proper

    def _start_when_known(self, now: float) -> None:
        if self._begun and not self._over and (self._complete or len(self._body) > self._limit):
            self._start(now)

    def _start(self, now: float) -> None:
        body, self._body = bytes(self._body), bytearray()
        if self._complete and len(body) <= self._limit:
            head, body = self._dialect.keyed_by_body(self._head, body)
        else:
            head = self._dialect.keyed(self._head)
        self._writer.timer.disarm()
        exchange = self._exchange = self._make(head, now)
        self._leave()
        if self._complete and not self._trailers:
            exchange.whole_body(body)
            exchange.begin(now)
            return
        exchange.expect_body(now)
        exchange.begin(now)
        exchange.on_request_body(body)
        if self._complete:
            exchange.on_request_end(self._trailers)

    def _leave(self) -> None:
        if not self._over:
            self._over = True
            self._context.busy -= 1
