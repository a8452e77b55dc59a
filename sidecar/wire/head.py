"""Heads of messages: what a proxy needs to know of them, and their fields as they are passed on."""

from sidecar.wire.framing import NONE, Framing


class RequestHead:
    """One request's head.

    `fields` are the lines that may be passed on, each ended by CRLF, in their order and case, Host among them;
    `target` is as it came; `host` is the value of the Host field, b"" when an HTTP/1.0 request has none.
    `retry_attempt` is which attempt of its sender it is, b"" for the first; not among the `fields`.
    `upgrade` is b"websocket" when that is asked for, else b"": other protocols are not switched to. `onward` is all
    of it as it is sent to the next hop, without its closing empty line; set when the request has been routed.
    """

    __slots__ = (
        "expects_continue",
        "fields",
        "framing",
        "host",
        "keep_alive",
        "keyed",
        "length",
        "method",
        "minor",
        "onward",
        "request_id",
        "retry_attempt",
        "target",
        "to_head",
        "trace",
        "upgrade",
    )

    def __init__(self, method: bytes, target: bytes, minor: int) -> None:
        self.method = method
        self.to_head = method == b"HEAD"
        self.target = target
        self.minor = minor
        self.fields = b""
        self.onward = b""
        self.host = b""
        self.framing: Framing = NONE
        self.length: int | None = None
        self.keep_alive = minor == 1
        self.expects_continue = False
        self.upgrade = b""
        self.request_id = b""
        self.retry_attempt = b""
        self.trace = b""
        self.keyed = False


class ResponseHead:
    """One response's head. `fields` and `onward` as in RequestHead; `line` is the status line's end: b"200 OK".

    `peer_refusal` is the word with which a sidecar behind the endpoint has refused, which is not passed on.
    `verdict` is the status by which the answer is judged: `status`, unless a protocol says in trailers how a response
    came out. None: the trailers are still to come.
    """

    __slots__ = (
        "date",
        "fields",
        "framing",
        "keep_alive",
        "length",
        "line",
        "minor",
        "onward",
        "peer_refusal",
        "retry_after",
        "status",
        "upgrade",
        "verdict",
    )

    def __init__(self, status: int, line: bytes, minor: int) -> None:
        self.status = status
        self.verdict: int | None = status
        self.line = line
        self.minor = minor
        self.fields = b""
        self.onward = b""
        self.framing: Framing = NONE
        self.length: int | None = None
        self.keep_alive = minor == 1
        self.upgrade = b""
        self.retry_after = b""
        self.peer_refusal = b""
        self.date = b""
