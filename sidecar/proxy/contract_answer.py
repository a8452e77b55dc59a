"""`GET /.well-known/idempotency` on ingress: the partner contract, answered by the sidecar itself."""

import json
from typing import Final

from sidecar.governance.policy.partner_contract import partner_contract
from sidecar.idempotency.gate import IngressGate
from sidecar.proxy.response_writer import ResponseWriter
from sidecar.wire.framing import LENGTH
from sidecar.wire.head import RequestHead, ResponseHead
from sidecar.wire.malformed import Malformed

CONTRACT_PATH: Final = b"/.well-known/idempotency"
_FIELDS: Final = b"Content-Type: application/json\r\nCache-Control: max-age=300\r\nContent-Length: %d\r\n"


class ContractAnswer:
    """To the client's connection it is an exchange, which is over as soon as its request is whole."""

    __slots__ = ("_begun", "_gate", "_head", "_open", "_writer")

    def __init__(self, writer: ResponseWriter, head: RequestHead, gate: IngressGate) -> None:
        self._writer = writer
        self._head = head
        self._gate = gate
        self._begun = self._open = False

    def expect_body(self, now: float) -> None:
        """It will be read and not looked at."""
        del now
        self._open = True

    def whole_body(self, data: bytes) -> None:
        """It is not looked at."""

    def begin(self, now: float) -> None:
        """Answer."""
        self._begun = True
        if self._open:
            return
        document = partner_contract(self._gate.routes, self._gate.max_request_bytes, self._gate.contract_version)
        body = json.dumps(document, indent=2).encode() + b"\n"
        head = ResponseHead(200, b"200 OK", 1)
        head.framing, head.length = LENGTH, len(body)
        head.fields = b"Content-Type: application/json\r\nCache-Control: max-age=300\r\nContent-Length: %d\r\n" % len(
            body
        )
        self._writer.respond(head, b"", b"" if self._head.to_head else body, True, now)  # noqa: FBT003

    def on_request_body(self, data: bytes) -> None:
        """See `whole_body`."""

    def on_request_end(self, trailers: bytes) -> None:
        """The request is whole."""
        del trailers
        self._open = False
        if self._begun:
            self.begin(0.0)

    def on_request_malformed(self, error: Malformed) -> None:
        """Broken off."""
        del error
        self._writer.reset()

    def on_client_gone(self) -> None:
        """There is nothing under way."""

    def on_client_full(self) -> None:
        """All of it has been written."""

    def on_client_drained(self) -> None:
        """All of it has been written."""

    def on_timer(self, now: float) -> None:
        """Its body did not come."""
        del now
        self._writer.reset()
