"""The record of one finished exchange, for logs, traces and the live page. Built only for notable exchanges."""

from msgspec import Struct


class AttemptRecord(Struct, frozen=True):
    """One attempt: `outcome` is a status in digits or a fault's word; seconds it took and was held back before.

    `began` is when it left, in seconds after the exchange began. `late`: it was not answered in the usual time, and
    went on beside a retry or without one. Of two that overlap one is `superseded` if the other was answered.
    """

    number: int
    kind: str
    endpoint: str
    outcome: str
    seconds: float
    backoff: float
    began: float = 0.0
    late: bool = False


class ExchangeRecord(Struct, frozen=True):
    """One exchange. `status` is what the caller got, 0 when it left before; `target` holds no query."""

    destination: str
    method: str
    target: str
    status: int
    result: str
    seconds: float
    attempts: tuple[AttemptRecord, ...]
    refusal: str | None
    budget_balance: float
    breaker: str
    policy_version: int
    request_id: str
    trace_id: str | None
    route: str | None = None
    """The route of the destination that it was on, by name."""

    @property
    def waited(self) -> float:
        """Seconds before the first attempt: for a slot, or for the breaker's probe. All of it where none was sent."""
        return self.attempts[0].began if self.attempts else self.seconds

    @property
    def answered_by(self) -> str:
        """The origin of the answer: `upstream`, or `sidecar` where no attempt ended so; empty without an answer."""
        if not self.status:
            return ""
        status = str(self.status)
        return "upstream" if any(attempt.outcome == status for attempt in self.attempts) else "sidecar"
