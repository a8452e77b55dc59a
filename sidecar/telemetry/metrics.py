"""Every metric the sidecar exports, in one table; read from the engine's integers when somebody scrapes (`exporter`).

Names and labels are interface: dashboards and alerts are written against them. Label values come from policy names and
closed enumerations only, never from a path, a host, a key or an error text.

`make docs` writes the reference page, docs/metrics.md, from the same table.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from sidecar.engine.breaker import BreakerState
from sidecar.engine.destination import Destination
from sidecar.engine.histogram import SECONDS, Histogram
from sidecar.engine.outcome import AttemptKind, Fault, Result
from sidecar.engine.shadow import Difference
from sidecar.engine.verdict import Refusal
from sidecar.governance.loading.standing import PolicyOrigin, RolloutState
from sidecar.telemetry.subject import Connections, Subject
from sidecar.wire.handshake import HANDSHAKE_FAILURES
from sidecar.wire.malformed import REASONS

MAX_SERIES: Final = 20_000
"""Of destinations: 100 of them have 14,100, and 141 fit. At the bound a scrape is 1.5 MB of text."""

OUTCOMES: Final = tuple(result.label for result in Result)
KINDS: Final = tuple(kind.label for kind in AttemptKind)
REFUSALS: Final = tuple(refusal.value for refusal in Refusal)
STATES: Final = tuple(state.value for state in BreakerState)
DIFFERENCES: Final = tuple(difference.value for difference in Difference)
ORIGINS: Final = tuple(origin.value for origin in PolicyOrigin)
ROLLOUT_STATES: Final = tuple(state.value for state in RolloutState)
CONNECTION_STATES: Final = ("active", "idle")
CONNECT_FAILURES: Final = (Fault.CONNECT_FAILURE.value, *HANDSHAKE_FAILURES)

Values = Iterable[tuple[tuple[str, ...], float]]
"""Label values, in the order of the metric's labels, and the number."""


class Kind(Enum):
    """Prometheus's types."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Label:
    """`values` lists what it can be; where the list is not closed by the code, it says in words what bounds it."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """One destination at the instant of the scrape. `name` is the policy's."""

    name: str
    destination: Destination
    connections: Connections
    now: float


@dataclass(frozen=True, slots=True)
class Moment:
    """The process at the instant of the scrape. `series_dropped` counts since the start."""

    subject: Subject
    connections: Connections
    series_dropped: int


@dataclass(frozen=True, slots=True)
class Metric:
    """What is read, from the process (`moment`) or from each destination (`scene`, `histogram`): one of the three.

    The last two have the label `destination` in front of `labels`.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[Label, ...] = ()
    moment: Callable[[Moment], Values] | None = None
    scene: Callable[[Scene], Values] | None = None
    histogram: Callable[[Destination], Histogram] | None = None

    @property
    def label_names(self) -> tuple[str, ...]:
        """All its labels' names, in order."""
        names = tuple(label.name for label in self.labels)
        return names if self.moment is not None else ("destination", *names)


def _requests(scene: Scene) -> Values:
    return [((label,), count) for label, count in zip(OUTCOMES, scene.destination.tally.requests, strict=True)]


def _attempts(scene: Scene) -> Values:
    return [
        ((kind, outcome), count)
        for kind, counts in zip(KINDS, scene.destination.tally.attempts, strict=True)
        for outcome, count in zip(OUTCOMES, counts, strict=True)
    ]


def _retries(scene: Scene) -> Values:
    retry = scene.destination.policy.retry
    counts = dict.fromkeys([f"status_{status}" for status in sorted(retry.statuses)], 0)
    counts |= dict.fromkeys([fault.value for fault in Fault if fault in retry.faults], 0)
    counts |= scene.destination.tally.retries
    return [((cause,), count) for cause, count in counts.items()]


def _refusals(scene: Scene) -> Values:
    return [((refusal.value,), count) for refusal, count in scene.destination.tally.refusals.items()]


def _breaker_state(scene: Scene) -> Values:
    now = scene.destination.breaker.state(scene.now)
    return [((state.value,), 1 if state is now else 0) for state in BreakerState]


def _breaker_transitions(scene: Scene) -> Values:
    transitions = scene.destination.breaker.transitions
    return [((state.value,), transitions.get(state, 0)) for state in BreakerState]


def _connections(scene: Scene) -> Values:
    connections = scene.connections
    return [(("active",), connections.active.get(scene.name, 0)), (("idle",), connections.idle.get(scene.name, 0))]


def _connect_failures(scene: Scene) -> Values:
    counts = scene.destination.tally.connect_failures
    return [((reason,), counts.get(reason, 0)) for reason in CONNECT_FAILURES]


def _one(value: float) -> Values:
    return [((), value)]


def _given(value: float | None) -> Values:
    return [] if value is None else _one(value)


def _state(words: Iterable[str], now: str) -> Values:
    return [((word,), int(word == now)) for word in words]


def _by_reason(counts: Mapping[str, int]) -> Values:
    return [((reason,), count) for reason, count in counts.items()]


METRICS: Final = (
    Metric(
        "sidecar_requests_total",
        Kind.COUNTER,
        "Requests that are over, by how they ended for the caller, however many attempts that took.",
        (Label("outcome", OUTCOMES),),
        scene=_requests,
    ),
    Metric(
        "sidecar_attempts_total",
        Kind.COUNTER,
        "Attempts that are over, by why they were made and how they ended.",
        (Label("kind", KINDS), Label("outcome", OUTCOMES)),
        scene=_attempts,
    ),
    Metric(
        "sidecar_retries_total",
        Kind.COUNTER,
        "Retries made, by the outcome that asked for them.",
        (
            Label(
                "cause",
                (
                    "status_NNN of the policy's retry.statuses",
                    *(fault.value for fault in Fault if fault is not Fault.PROTOCOL),
                ),
            ),
        ),
        scene=_retries,
    ),
    Metric(
        "sidecar_retry_success_total",
        Kind.COUNTER,
        "Requests that succeeded at their second or a later attempt.",
        scene=lambda scene: _one(scene.destination.tally.retry_successes),
    ),
    Metric(
        "sidecar_retry_refusals_total",
        Kind.COUNTER,
        "Wanted retries that were not made, and originals that were never sent (breaker_open, concurrency_limit).",
        (Label("reason", REFUSALS),),
        scene=_refusals,
    ),
    Metric(
        "sidecar_amplification_ratio",
        Kind.GAUGE,
        "Attempts per request over the last 10 seconds; 1 without traffic. Over a longer range divide the counters.",
        scene=lambda scene: _one(scene.destination.amplification(scene.now)),
    ),
    Metric(
        "sidecar_retry_ratio",
        Kind.GAUGE,
        "Retries per request over the budget's window.",
        scene=lambda scene: _one(scene.destination.retry_ratio(scene.now)),
    ),
    Metric(
        "sidecar_budget_balance",
        Kind.GAUGE,
        "Retries the budget could pay for now.",
        scene=lambda scene: _one(scene.destination.budget.balance(scene.now)),
    ),
    Metric(
        "sidecar_budget_ratio",
        Kind.GAUGE,
        "Retries that each request pays for, as the policy in force says.",
        scene=lambda scene: _one(scene.destination.policy.budget.ratio),
    ),
    Metric(
        "sidecar_budget_min_retries",
        Kind.GAUGE,
        "Retries in each window that nothing has to pay for, as the policy in force says.",
        scene=lambda scene: _one(scene.destination.policy.budget.min_retries),
    ),
    Metric(
        "sidecar_budget_window_seconds",
        Kind.GAUGE,
        "The window of the budget, as the policy in force says.",
        scene=lambda scene: _one(scene.destination.policy.budget.window),
    ),
    Metric(
        "sidecar_budget_exhausted_total",
        Kind.COUNTER,
        "Retries the budget could not pay for.",
        scene=lambda scene: _one(scene.destination.budget.exhausted),
    ),
    Metric(
        "sidecar_breaker_state",
        Kind.GAUGE,
        "1 for the state the breaker is in, 0 for the others. closed means that traffic flows.",
        (Label("state", STATES),),
        scene=_breaker_state,
    ),
    Metric(
        "sidecar_breaker_transitions_total",
        Kind.COUNTER,
        "Changes of the breaker's state, by the state it came to.",
        (Label("to", STATES),),
        scene=_breaker_transitions,
    ),
    Metric(
        "sidecar_in_flight",
        Kind.GAUGE,
        "Attempts in flight.",
        scene=lambda scene: _one(scene.destination.limiter.awaited),
    ),
    Metric(
        "sidecar_concurrency_limit",
        Kind.GAUGE,
        "Attempts that may be in flight at once now.",
        scene=lambda scene: _one(scene.destination.limiter.limit),
    ),
    Metric(
        "sidecar_waiting",
        Kind.GAUGE,
        "Originals that wait for a place below the concurrency limit.",
        scene=lambda scene: _one(len(scene.destination.limiter.waiting)),
    ),
    Metric(
        "sidecar_connections",
        Kind.GAUGE,
        "Open connections to the destination, by whether an attempt uses them.",
        (Label("state", CONNECTION_STATES),),
        scene=_connections,
    ),
    Metric(
        "sidecar_connect_failures_total",
        Kind.COUNTER,
        "Connections to the destination that could not be had, in TCP (connect_failure) or in TLS, by reason.",
        (Label("reason", CONNECT_FAILURES),),
        scene=_connect_failures,
    ),
    Metric(
        "sidecar_request_duration_seconds",
        Kind.HISTOGRAM,
        "Time from a request's head to its response's head, back-off and every attempt included.",
        histogram=lambda destination: destination.tally.request_seconds,
    ),
    Metric(
        "sidecar_attempt_duration_seconds",
        Kind.HISTOGRAM,
        "Time of one attempt until its response head or its fault.",
        histogram=lambda destination: destination.tally.attempt_seconds,
    ),
    Metric(
        "sidecar_backoff_seconds",
        Kind.HISTOGRAM,
        "Time retries were held back, Retry-After and jitter included.",
        histogram=lambda destination: destination.tally.backoff_seconds,
    ),
    Metric(
        "sidecar_retry_after_seconds",
        Kind.HISTOGRAM,
        "Time destinations asked to wait for with Retry-After.",
        histogram=lambda destination: destination.tally.retry_after_seconds,
    ),
    Metric(
        "sidecar_downstream_connections",
        Kind.GAUGE,
        "Open connections from callers.",
        moment=lambda moment: _one(moment.connections.downstream),
    ),
    Metric(
        "sidecar_tunnels_total",
        Kind.COUNTER,
        "CONNECT tunnels opened; what passes through them is not governed.",
        moment=lambda moment: _one(moment.connections.tunnels),
    ),
    Metric(
        "sidecar_rejections_total",
        Kind.COUNTER,
        "Messages that were refused for their bytes, from callers or destinations, by reason.",
        (Label("reason", REASONS),),
        moment=lambda moment: [((reason,), moment.subject.rejections.get(reason, 0)) for reason in REASONS],
    ),
    Metric(
        "sidecar_ingress_handshake_failures_total",
        Kind.COUNTER,
        "Callers of the service whose TLS handshake with the ingress listener failed, by reason.",
        (Label("reason", HANDSHAKE_FAILURES),),
        moment=lambda moment: [
            ((reason,), moment.subject.handshake_failures.get(reason, 0)) for reason in HANDSHAKE_FAILURES
        ],
    ),
    Metric(
        "sidecar_certificate_renewal_success",
        Kind.GAUGE,
        "1 if the certificates were all good when they were read last, else 0 and the last good one is in use.",
        moment=lambda moment: _one(int(moment.subject.certificates.error is None)),
    ),
    Metric(
        "sidecar_certificate_renewals_total",
        Kind.COUNTER,
        "Certificates read again with other contents (success), and readings that found a bad one (failure).",
        (Label("result", ("success", "failure")),),
        moment=lambda moment: [
            (("success",), moment.subject.certificates.succeeded),
            (("failure",), moment.subject.certificates.failed),
        ],
    ),
    Metric(
        "sidecar_policy_info",
        Kind.GAUGE,
        "1, labelled with the policy in force.",
        (Label("version", ("the policy's version",)), Label("digest", ("of the policy's bytes",))),
        moment=lambda moment: [((str(moment.subject.policy.version), moment.subject.policy.digest), 1)],
    ),
    Metric(
        "sidecar_policy_reload_success",
        Kind.GAUGE,
        "1 if the last attempt to load the policy succeeded, else 0 and the last good policy is in force.",
        moment=lambda moment: _one(int(moment.subject.reloads.error is None)),
    ),
    Metric(
        "sidecar_policy_reload_timestamp_seconds",
        Kind.GAUGE,
        "Unix time at which the policy in force was loaded.",
        moment=lambda moment: _one(moment.subject.reloads.loaded_at),
    ),
    Metric(
        "sidecar_policy_reloads_total",
        Kind.COUNTER,
        "Attempts to load the policy, by result.",
        (Label("result", ("success", "failure")),),
        moment=lambda moment: [
            (("success",), moment.subject.reloads.succeeded),
            (("failure",), moment.subject.reloads.failed),
        ],
    ),
    Metric(
        "sidecar_policy_exception_expiry_timestamp_seconds",
        Kind.GAUGE,
        "Unix time at which an exception for this service ends and its guardrail holds again.",
        (Label("id", ("the exception's id",)),),
        moment=lambda moment: [((life.id,), life.expires_at) for life in moment.subject.exceptions],
    ),
    Metric(
        "sidecar_policy_exception_uses_total",
        Kind.COUNTER,
        "Requests to destinations with a number past its guardrail by leave of the exception; 0 while nobody uses it.",
        (Label("id", ("the exception's id",)),),
        moment=lambda moment: [((life.id,), life.uses) for life in moment.subject.exceptions],
    ),
    Metric(
        "sidecar_policy_overrides_left_out",
        Kind.GAUGE,
        "Overrides not in force: their exception is over or, on the baseline, the policy they need is missing.",
        (Label("destination", ("the policy's name",)),),
        moment=lambda moment: [((name,), count) for name, count in moment.subject.left_out.items()],
    ),
    Metric(
        "sidecar_policy_origin",
        Kind.GAUGE,
        "1 for where the policy in force came from, 0 for the others. baseline: no valid policy could be had.",
        (Label("origin", ORIGINS),),
        moment=lambda moment: _state(ORIGINS, moment.subject.standing.origin),
    ),
    Metric(
        "sidecar_policy_source_age_seconds",
        Kind.GAUGE,
        "Time since the policy's source was last found to say what is made of it.",
        moment=lambda moment: _one(moment.subject.standing.source_age),
    ),
    Metric(
        "sidecar_policy_expiry_timestamp_seconds",
        Kind.GAUGE,
        "Unix time from which the policy in force should have been replaced; absent for one that does not expire.",
        moment=lambda moment: _given(moment.subject.standing.expires),
    ),
    Metric(
        "sidecar_policy_rollout_state",
        Kind.GAUGE,
        "1 for where this pod stands towards the version its source offers, 0 for the others.",
        (Label("state", ROLLOUT_STATES),),
        moment=lambda moment: _state(ROLLOUT_STATES, moment.subject.standing.rollout),
    ),
    Metric(
        "sidecar_policy_rollout_aborts_total",
        Kind.COUNTER,
        "Versions that this pod has given up because they amplified.",
        moment=lambda moment: _one(moment.subject.standing.aborts),
    ),
    Metric(
        "sidecar_policy_dry_run_decisions_total",
        Kind.COUNTER,
        "Decisions of which it was asked what the version on trial would have decided; absent without a dry run.",
        (Label("destination", ("the policy's name",)),),
        moment=lambda moment: [((name,), shadow.compared) for name, shadow in moment.subject.shadows.items()],
    ),
    Metric(
        "sidecar_policy_dry_run_differences_total",
        Kind.COUNTER,
        "Decisions that would have been others, by what the version on trial would have done; absent as above.",
        (Label("destination", ("the policy's name",)), Label("kind", DIFFERENCES)),
        moment=lambda moment: [
            ((name, difference.value), count)
            for name, shadow in moment.subject.shadows.items()
            for difference, count in shadow.differences.items()
        ],
    ),
    Metric(
        "sidecar_event_loop_lag_seconds",
        Kind.GAUGE,
        "Longest delay of a timer of the event loop in the last 15 seconds, probed every tenth of a second.",
        moment=lambda moment: _one(moment.subject.event_loop_lag),
    ),
    Metric(
        "sidecar_log_lines_dropped_total",
        Kind.COUNTER,
        "Log lines not written: over the rate limit, or because nobody read what was written (backpressure).",
        (Label("reason", ("rate_limit", "backpressure")),),
        moment=lambda moment: _by_reason(moment.subject.log_lines_dropped),
    ),
    Metric(
        "sidecar_spans_total",
        Kind.COUNTER,
        "Spans by what became of them; no series where traces are off. failed: not taken by the receiver.",
        (Label("result", ("exported", "failed", "dropped")),),
        moment=lambda moment: _by_reason(moment.subject.spans),
    ),
    Metric(
        "sidecar_series_dropped_total",
        Kind.COUNTER,
        "Series left out of scrapes because there were too many; whole destinations, the last named first.",
        moment=lambda moment: _one(moment.series_dropped),
    ),
)


def reference() -> str:
    """docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "<!-- Written by `make docs` from sidecar/telemetry/metrics.py; do not edit. -->",
        "",
        "`GET /metrics` on the admin port, as Prometheus text or OpenMetrics. Label values come from policy names and",
        "closed lists only. Counters begin at 0 for every combination of closed labels: `rate()` sees the first event.",
        f"Destinations have at most {MAX_SERIES:,} series together. One has 141, and one more for each status over two",
        "in its `retry.statuses`: 100 of them fit. What does not fit is left out, whole destinations, the last named",
        "first, and counted in `sidecar_series_dropped_total`. Beside these there are prometheus_client's `process_*`",
        "metrics: cpu, memory, open files, start time.",
        "",
        "Amplification over any range is the quotient of the counters, never an average of ratios. Requests that were",
        'never sent (`outcome="refused"`) triggered no attempt; counted in, they would hide what the others do:',
        '`sum(rate(sidecar_attempts_total[5m])) / sum(rate(sidecar_requests_total{outcome!="refused"}[5m]))`.',
        "",
        "| metric | type | labels | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for metric in METRICS:
        own = [f"{label.name}: {_listed(label.values)}" for label in metric.labels]
        labels = own if metric.moment is not None else ["destination", *own]
        lines.append(f"| `{metric.name}` | {metric.kind.value} | {'; '.join(labels)} | {metric.help} |")
    bounds = ", ".join(f"{bound:g}" for bound in SECONDS)
    lines += ["", f"Histograms have the upper bounds {bounds} seconds and `+Inf`.", ""]
    return "\n".join(lines)


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(value if " " in value else f"`{value}`" for value in values)


if __name__ == "__main__":
    sys.stdout.write(reference())
