"""One request that was traced."""

from sidecar.telemetry.trace import AttemptSpan, ExchangeTrace

ATTEMPT = AttemptSpan(
    span_id=3, kind="first", resend=0, host="10.0.0.1", port=80, scheme="http", outcome="200", began=1.0, ended=1.5
)
TRACE = ExchangeTrace(
    trace_id=1,
    parent_id=0,
    span_id=2,
    flags=1,
    destination="payments",
    method="GET",
    path="/",
    status=200,
    result="success",
    refusal=None,
    policy_version=7,
    request_id="r-1",
    began=1.0,
    ended=2.0,
    attempts=(ATTEMPT,),
    events=(),
)
