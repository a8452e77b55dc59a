"""A payment service that charges each request it reads, as often as it is asked, and counts the charges of each order.

Run as a process of its own (`python -m sidecar.demo.charges.service`): it tells its port and its counts on stdout and
leaves when stdin ends. `POST /v1/payments` charges; `GET /v1/payments/by-key/KEY` says what was done for a key, for the
probe of a gate; `GET /-/charges` has the count of every order.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable
from typing import Final

import httptools

from sidecar.demo.charges.play import FULL_CHARGES, AnswerFate, ChargePlay
from sidecar.demo.child import commands, run
from sidecar.demo.counts import SLOT, tell
from sidecar.demo.dependency import response

PAYMENTS: Final = "/v1/payments"
BY_KEY: Final = f"{PAYMENTS}/by-key/"
COUNTS: Final = "/-/charges"


class PaymentService:
    """The charges, and the requests that made them."""

    def __init__(self, play: ChargePlay, seed: int) -> None:
        self.charges: Counter[str] = Counter()
        self.requests = 0
        self.ends: dict[AnswerFate, int] = dict.fromkeys(AnswerFate, 0)
        self._play = play
        self._seed = seed
        self._order_of: dict[str, str] = {}

    def charge(self, order: str, key: str) -> AnswerFate:
        """Charge an order once more; how its answer is to end. `key` is empty where the request has none."""
        self.requests += 1
        self.charges[order] += 1
        if key:
            self._order_of[key] = order
        fate = self._play.fate(self._seed, order, self.charges[order])
        self.ends[fate] += 1
        return fate

    def seconds_until_answer(self, fate: AnswerFate) -> float:
        """The seconds of work for it."""
        return self._play.late_work if fate is AnswerFate.LATE else self._play.work

    def receipt(self, order: str) -> bytes:
        """The answer to a payment."""
        return _json(201, "Created", {"order": order, "charges": self.charges[order]})

    def by_key(self, key: str) -> bytes:
        """The answer to a probe for a key: 200 if it was charged; 404 says only that it has not been until now."""
        order = self._order_of.get(key)
        if order is None:
            return _json(404, "Not Found", {"key": key})
        return _json(200, "OK", {"order": order, "charges": self.charges[order]})

    def counts(self) -> dict[str, int]:
        """The sums, as they are told to the demo."""
        return {
            "orders": len(self.charges),
            "charges": self.charges.total(),
            "twice": sum(count > 1 for count in self.charges.values()),
            "most": max(self.charges.values(), default=0),
            "requests": self.requests,
            "lost": self.ends[AnswerFate.LOST],
            "late": self.ends[AnswerFate.LATE],
        }

    def all_counts(self) -> bytes:
        """The answer to `GET /-/charges`: the sums, and each order."""
        return _json(200, "OK", {**self.counts(), "by_order": dict(self.charges)})


class PaymentConnection(asyncio.Protocol):
    """One caller's connection; one request at a time."""

    def __init__(self, service: PaymentService) -> None:
        self._service = service
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._target = b""
        self._key = b""
        self._body = b""
        self._last = False
        self._read: list[tuple[str, str, str, bytes]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport  # type: ignore[assignment]  # a stream's transport is a Transport

    def data_received(self, data: bytes) -> None:
        """Feed the parser; nonsense ends the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._abort()
        # not in the parser's callback, which would take any error of ours for one of the caller's
        while self._read and self._transport is not None:
            self._act(*self._read.pop(0))

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller has gone; what was charged stays charged."""
        self._transport = None

    def on_url(self, url: bytes) -> None:
        """Parser callback."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Parser callback."""
        if name.lower() == b"idempotency-key":
            self._key = value

    def on_body(self, body: bytes) -> None:
        """Parser callback."""
        self._body += body

    def on_message_complete(self) -> None:
        """Parser callback: the request is whole."""
        self._last = not self._parser.should_keep_alive()
        method = self._parser.get_method().decode("ascii")
        self._read.append((method, self._target.decode("ascii", "replace"), self._key.decode("latin-1"), self._body))
        self._target = self._key = self._body = b""

    def _act(self, method: str, target: str, key: str, body: bytes) -> None:
        match method, target:
            case "POST", path if path == PAYMENTS:
                self._pay(key, body)
            case "GET", path if path.startswith(BY_KEY):
                self._answer(self._service.by_key(path.removeprefix(BY_KEY)))
            case "GET", path if path == COUNTS:
                self._answer(self._service.all_counts())
            case _:
                self._answer(_json(404, "Not Found", {"error": f"POST {PAYMENTS} or GET {COUNTS}"}))

    def _pay(self, key: str, body: bytes) -> None:
        try:
            order = str(json.loads(body)["order"])
        except (ValueError, KeyError, TypeError):
            self._answer(_json(400, "Bad Request", {"error": "the body must be a JSON object with an order"}))
            return
        fate = self._service.charge(order, key)
        end: Callable[[], None] = self._abort
        if fate is not AnswerFate.LOST:

            def end() -> None:
                self._answer(self._service.receipt(order))

        asyncio.get_running_loop().call_later(self._service.seconds_until_answer(fate), end)

    def _answer(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
            if self._last:
                self._transport.close()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _json(status: int, reason: str, document: object) -> bytes:
    return response(status, reason, json.dumps(document).encode() + b"\n")


async def serve(play: ChargePlay, seed: int) -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    service = PaymentService(play, seed)
    server = await loop.create_server(lambda: PaymentConnection(service), "127.0.0.1", 0, backlog=256)
    tell("ready", port=server.sockets[0].getsockname()[1])
    told = asyncio.create_task(_tell_counts(service))
    async for _ in commands():
        pass
    told.cancel()
    server.close()


async def _tell_counts(service: PaymentService) -> None:
    while True:
        await asyncio.sleep(SLOT)
        tell("counts", **service.counts())


def main() -> None:
    """Entry point of the child process."""
    arguments = argparse.ArgumentParser(prog="sidecar.demo.charges.service", description=__doc__)
    arguments.add_argument("--seed", type=int, required=True)
    given = arguments.parse_args()
    sys.exit(run(serve(FULL_CHARGES, given.seed)))


if __name__ == "__main__":
    main()
