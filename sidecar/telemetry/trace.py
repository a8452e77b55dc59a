"""The trace of one exchange: its span, a span for each attempt, and the events between attempts.

Instants are monotonic seconds, as everywhere. Ids are numbers of 128 and 64 bits. Built only for sampled exchanges.
"""

from collections.abc import Mapping

from msgspec import Struct


class AttemptSpan(Struct, frozen=True):
    """One attempt. `outcome` is a status in digits or a fault's word; `resend` counts what was sent before it."""

    span_id: int
    kind: str
    resend: int
    host: str
    port: int
    scheme: str
    outcome: str
    began: float
    ended: float


class TraceEvent(Struct, frozen=True):
    """Something that took no time: `backoff` or `refusal`."""

    name: str
    at: float
    attributes: Mapping[str, str | float]


class ExchangeTrace(Struct, frozen=True):
    """One exchange. `parent_id` is 0 when the trace begins here; `status` is 0 when the caller left before it."""

    trace_id: int
    parent_id: int
    span_id: int
    flags: int
    destination: str
    method: str
    path: str
    status: int
    result: str
    refusal: str | None
    policy_version: int
    request_id: str
    began: float
    ended: float
    attempts: tuple[AttemptSpan, ...]
    events: tuple[TraceEvent, ...]
