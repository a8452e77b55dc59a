"""A receiver of OTLP/HTTP: a real HTTP server that keeps what it is sent, decoded, and answers as it is told."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.fakes.waiting import WITHIN, wait_until


@dataclass(frozen=True)
class Span:
    """One span as it came over the wire. Ids are hex; a `parent` of "" is none; `events` are (name, attributes)."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    began: int
    ended: int
    failed: bool
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    resource: dict[str, Any]


class Receiver:
    """Listens on a free port of 127.0.0.1 while it is entered."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.spans: list[Span] = []
        self.posts = 0
        self.paths: set[str] = set()
        self.content_types: set[str | None] = set()

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"

    def wait_for(self, condition: Callable[[list[Span]], bool], seconds: float = WITHIN) -> list[Span]:
        """The spans, once they are what is waited for."""
        wait_until(lambda: condition(self.spans), seconds)
        return self.spans

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._post())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _post(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Post(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.posts += 1
                receiver.paths.add(self.path)
                receiver.content_types.add(self.headers["Content-Type"])
                if receiver.status == 200:
                    receiver.spans += decoded(body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(receiver.status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: object) -> None:
                """Nothing."""

        return Post


def decoded(body: bytes) -> list[Span]:
    """The spans of one request, in their order."""
    return [
        Span(
            name=span.name,
            kind=type(span).SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
            trace=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            began=span.start_time_unix_nano,
            ended=span.end_time_unix_nano,
            failed=span.status.code == span.status.STATUS_CODE_ERROR,
            attributes=_values(span.attributes),
            events=[(event.name, _values(event.attributes)) for event in span.events],
            resource=_values(group.resource.attributes),
        )
        for group in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
