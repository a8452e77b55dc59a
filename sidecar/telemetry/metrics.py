"""Every metric the sidecar exports, in one table; read from the engine's integers at a scrape (`exporter`).

Names and labels are interface: dashboards and alerts are written against them. Label values come from policy names and
closed enumerations only, never from a path, a host, a key or an error text.

`make docs` writes the reference page, docs/metrics.md, from the same table.
"""

import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Final, TypeVar

from msgspec import Struct

from sidecar import __version__
from sidecar.engine.breaker import BreakerState
from sidecar.engine.concurrency import LimitState
from sidecar.engine.destination import Destination
from sidecar.engine.histogram import SECONDS, Histogram
from sidecar.engine.outcome import AttemptKind, Fault, Result
from sidecar.engine.shadow import Difference
from sidecar.engine.verdict import Refusal
from sidecar.governance.loading.standing import PolicyOrigin, RolloutState
from sidecar.idempotency.gate import KeyOutcome, ProbeOutcome
from sidecar.telemetry.metrics_source import Connections, KeyStoreHealth, MetricsSource
from sidecar.wire.handshake import HANDSHAKE_FAILURES
from sidecar.wire.interceptions import INTERCEPTIONS
from sidecar.wire.malformed import REASONS
from sidecar.wire.misdirected import MISDIRECTIONS

T = TypeVar("T")

MAX_SERIES: Final = 20_000
"""Of destinations: 100 of them have 16,500, and 121 fit. At the bound a scrape is 1.5 MB of text."""

OUTCOMES: Final = tuple(result.label for result in Result)
KINDS: Final = tuple(kind.label for kind in AttemptKind)
REFUSALS: Final = tuple(refusal.value for refusal in Refusal)
STATES: Final = tuple(state.value for state in BreakerState)
LIMIT_STATES: Final = tuple(state.value for state in LimitState)
DIFFERENCES: Final = tuple(difference.value for difference in Difference)
AUTHORITY_STATES: Final = ("managed", "unmanaged")
ORIGINS: Final = tuple(origin.value for origin in PolicyOrigin)
ROLLOUT_STATES: Final = tuple(state.value for state in RolloutState)
WRITE_METHODS: Final = ("POST", "PUT", "PATCH", "DELETE", "other")
"""The methods of requests that no route declares; reads are not counted."""
KEY_OUTCOMES: Final = tuple(outcome.value for outcome in KeyOutcome)
PROBE_OUTCOMES: Final = tuple(outcome.value for outcome in ProbeOutcome)
CONNECTION_STATES: Final = ("active", "idle")
CONNECT_FAILURES: Final = (Fault.CONNECT_FAILURE.value, *HANDSHAKE_FAILURES)

Values = Iterable[tuple[tuple[str, ...], float]]
"""Label values, in the order of the metric's labels, and the number."""


class MetricType(Enum):
    """Prometheus's types."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Label(Struct, frozen=True):
    """`values` lists what it can be; where the list is not closed by the code, it says in words what bounds it."""

    name: str
    values: tuple[str, ...]


class DestinationSample(Struct, frozen=True):
    """One destination at the instant of the scrape. `name` is the policy's."""

    name: str
    destination: Destination
    connections: Connections
    now: float


class SidecarSample(Struct, frozen=True):
    """The process at the instant of the scrape. `series_dropped` counts since the start."""

    source: MetricsSource
    connections: Connections
    series_dropped: int


class Metric(Struct, frozen=True):
    """One metric, read from the process (`process`, `process_histogram`) or from each destination (the others).

    It has one of the four. `sample` and `histogram` have the label `destination` in front of `labels`.
    """

    name: str
    kind: MetricType
    help: str
    labels: tuple[Label, ...] = ()
    process: Callable[[SidecarSample], Values] | None = None
    sample: Callable[[DestinationSample], Values] | None = None
    histogram: Callable[[Destination], Histogram] | None = None
    process_histogram: Callable[[SidecarSample], Histogram | None] | None = None
    """None where the process has no such thing."""

    @property
    def of_process(self) -> bool:
        """Whether it is the process's, without the label `destination`."""
        return self.process is not None or self.process_histogram is not None

    @property
    def label_names(self) -> tuple[str, ...]:
        """All its labels' names, in order."""
        names = tuple(label.name for label in self.labels)
        return names if self.of_process else ("destination", *names)


def _known(value: float | None) -> Values:
    return [] if value is None else _one(value)


def _of_store(process: SidecarSample, read: Callable[[KeyStoreHealth], T]) -> T | None:
    store = process.source.key_store
    return None if store is None else read(store)


def _requests(sample: DestinationSample) -> Values:
    return [((label,), count) for label, count in zip(OUTCOMES, sample.destination.tally.requests, strict=True)]


def _attempts(sample: DestinationSample) -> Values:
    return [
        ((kind, outcome), count)
        for kind, counts in zip(KINDS, sample.destination.tally.attempts, strict=True)
        for outcome, count in zip(OUTCOMES, counts, strict=True)
    ]


def _retries(sample: DestinationSample) -> Values:
    retry = sample.destination.policy.retry
    counts = dict.fromkeys([f"status_{status}" for status in sorted(retry.statuses)], 0)
    counts |= dict.fromkeys([fault.value for fault in Fault if fault in retry.faults], 0)
    counts |= sample.destination.tally.retries
    return [((cause,), count) for cause, count in counts.items()]


def _refusals(sample: DestinationSample) -> Values:
    return [((refusal.value,), count) for refusal, count in sample.destination.tally.refusals.items()]


def _breaker_state(sample: DestinationSample) -> Values:
    now = sample.destination.breaker.state(sample.now)
    return [((state.value,), 1 if state is now else 0) for state in BreakerState]


def _limit_state(sample: DestinationSample) -> Values:
    now = sample.destination.limiter.state
    return [((state.value,), 1 if state is now else 0) for state in LimitState]


def _breaker_transitions(sample: DestinationSample) -> Values:
    transitions = sample.destination.breaker.transitions
    return [((state.value,), transitions.get(state, 0)) for state in BreakerState]


def _connections(sample: DestinationSample) -> Values:
    connections = sample.connections
    return [(("active",), connections.active.get(sample.name, 0)), (("idle",), connections.idle.get(sample.name, 0))]


def _connect_failures(sample: DestinationSample) -> Values:
    counts = sample.destination.tally.connect_failures
    return [((reason,), counts.get(reason, 0)) for reason in CONNECT_FAILURES]


def _one(value: float) -> Values:
    return [((), value)]


def _given(value: float | None) -> Values:
    return [] if value is None else _one(value)


def _state(words: Iterable[str], now: str) -> Values:
    return [((word,), int(word == now)) for word in words]


def _by_reason(counts: Mapping[str, int]) -> Values:
    return [((reason,), count) for reason, count in counts.items()]


OBSERVED: Final = ("retry", "saved", "refuse", "timeout")
ROUTE_LABELS: Final = (Label("destination", ("the policy's name",)), Label("route", ("the route's name",)))

METRICS: Final = (
    Metric(
        "sidecar_requests_total",
        MetricType.COUNTER,
        "Requests that are over, by how they ended for the caller, however many attempts that took.",
        (Label("outcome", OUTCOMES),),
        sample=_requests,
    ),
    Metric(
        "sidecar_attempts_total",
        MetricType.COUNTER,
        "Attempts that are over, by why they were made and how they ended.",
        (Label("kind", KINDS), Label("outcome", OUTCOMES)),
        sample=_attempts,
    ),
    Metric(
        "sidecar_retries_total",
        MetricType.COUNTER,
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
        sample=_retries,
    ),
    Metric(
        "sidecar_retry_success_total",
        MetricType.COUNTER,
        "Requests that succeeded at their second or a later attempt.",
        sample=lambda sample: _one(sample.destination.tally.retry_successes),
    ),
    Metric(
        "sidecar_late_attempts_total",
        MetricType.COUNTER,
        "Attempts that became late: a retry may go beside them.",
        sample=lambda sample: _one(sample.destination.tally.late_attempts),
    ),
    Metric(
        "sidecar_late_answers_total",
        MetricType.COUNTER,
        "Late attempts that were answered well in the end.",
        sample=lambda sample: _one(sample.destination.tally.late_answers),
    ),
    Metric(
        "sidecar_late_wins_total",
        MetricType.COUNTER,
        "Late attempts that were answered well before the retry that went beside them.",
        sample=lambda sample: _one(sample.destination.tally.late_wins),
    ),
    Metric(
        "sidecar_retry_refusals_total",
        MetricType.COUNTER,
        "Wanted retries that were not made, and originals that were never sent (breaker_open, concurrency_limit).",
        (Label("reason", REFUSALS),),
        sample=_refusals,
    ),
    Metric(
        "sidecar_amplification_ratio",
        MetricType.GAUGE,
        "Attempts per request over the last 10 seconds; 1 without traffic. Over a longer range divide the counters.",
        sample=lambda sample: _one(sample.destination.amplification(sample.now)),
    ),
    Metric(
        "sidecar_retry_ratio",
        MetricType.GAUGE,
        "Retries per request over the budget's window.",
        sample=lambda sample: _one(sample.destination.retry_ratio(sample.now)),
    ),
    Metric(
        "sidecar_budget_balance",
        MetricType.GAUGE,
        "Retries the budget could pay for now.",
        sample=lambda sample: _one(sample.destination.budget.balance(sample.now)),
    ),
    Metric(
        "sidecar_budget_ratio",
        MetricType.GAUGE,
        "Retries that each request pays for, as the policy in force says.",
        sample=lambda sample: _one(sample.destination.policy.budget.ratio),
    ),
    Metric(
        "sidecar_budget_min_retries",
        MetricType.GAUGE,
        "Retries in each window that nothing has to pay for, as the policy in force says.",
        sample=lambda sample: _one(sample.destination.policy.budget.min_retries),
    ),
    Metric(
        "sidecar_budget_window_seconds",
        MetricType.GAUGE,
        "The window of the budget, as the policy in force says.",
        sample=lambda sample: _one(sample.destination.policy.budget.window),
    ),
    Metric(
        "sidecar_budget_exhausted_total",
        MetricType.COUNTER,
        "Retries the budget could not pay for.",
        sample=lambda sample: _one(sample.destination.budget.exhausted),
    ),
    Metric(
        "sidecar_breaker_state",
        MetricType.GAUGE,
        "1 for the state the breaker is in, 0 for the others. closed means that traffic flows.",
        (Label("state", STATES),),
        sample=_breaker_state,
    ),
    Metric(
        "sidecar_breaker_transitions_total",
        MetricType.COUNTER,
        "Changes of the breaker's state, by the state it came to.",
        (Label("to", STATES),),
        sample=_breaker_transitions,
    ),
    Metric(
        "sidecar_in_flight",
        MetricType.GAUGE,
        "Attempts in flight.",
        sample=lambda sample: _one(sample.destination.limiter.awaited),
    ),
    Metric(
        "sidecar_concurrency_limit",
        MetricType.GAUGE,
        "Attempts that may be in flight at once now.",
        sample=lambda sample: _one(sample.destination.limiter.limit),
    ),
    Metric(
        "sidecar_concurrency_state",
        MetricType.GAUGE,
        "1 for the in-flight limit's state: open (no limit in force), watch, stalled, resuming, held.",
        (Label("state", LIMIT_STATES),),
        sample=_limit_state,
    ),
    Metric(
        "sidecar_waiting",
        MetricType.GAUGE,
        "Originals that wait for a place below the concurrency limit.",
        sample=lambda sample: _one(len(sample.destination.limiter.waiting)),
    ),
    Metric(
        "sidecar_connections",
        MetricType.GAUGE,
        "Open connections to the destination, by whether an attempt uses them.",
        (Label("state", CONNECTION_STATES),),
        sample=_connections,
    ),
    Metric(
        "sidecar_connect_failures_total",
        MetricType.COUNTER,
        "Connections to the destination that could not be had, in TCP (connect_failure) or in TLS, by reason.",
        (Label("reason", CONNECT_FAILURES),),
        sample=_connect_failures,
    ),
    Metric(
        "sidecar_request_duration_seconds",
        MetricType.HISTOGRAM,
        "Time from a request's head to its response's head, back-off and every attempt included.",
        histogram=lambda destination: destination.tally.request_seconds,
    ),
    Metric(
        "sidecar_attempt_duration_seconds",
        MetricType.HISTOGRAM,
        "Time of one attempt until its response head or its fault.",
        histogram=lambda destination: destination.tally.attempt_seconds,
    ),
    Metric(
        "sidecar_backoff_seconds",
        MetricType.HISTOGRAM,
        "Time retries were held back, Retry-After and jitter included.",
        histogram=lambda destination: destination.tally.backoff_seconds,
    ),
    Metric(
        "sidecar_retry_after_seconds",
        MetricType.HISTOGRAM,
        "Time destinations asked to wait for with Retry-After.",
        histogram=lambda destination: destination.tally.retry_after_seconds,
    ),
    Metric(
        "sidecar_downstream_connections",
        MetricType.GAUGE,
        "Open connections from callers.",
        process=lambda process: _one(process.connections.downstream),
    ),
    Metric(
        "sidecar_tunnels_total",
        MetricType.COUNTER,
        "Tunnels opened, of CONNECT and of intercepted connections; what passes through them is not governed.",
        process=lambda process: _one(process.connections.tunnels),
    ),
    Metric(
        "sidecar_bypass_connections",
        MetricType.GAUGE,
        "Open connections of others in this network namespace to addresses of the destination, past the sidecar; "
        "looked at every 10 s.",
        (Label("destination", ("names of destinations",)),),
        process=lambda process: [((name,), count) for name, count in process.connections.bypassing.items()],
    ),
    Metric(
        "sidecar_intercepted_connections_total",
        MetricType.COUNTER,
        "Connections that sidecar intercept redirected here: governed where http; tunnelled, and not governed, where "
        "tls, opaque or silent; closed where refused (egress.connect) or of the sidecar itself (loop).",
        (Label("outcome", INTERCEPTIONS),),
        process=lambda process: [((each,), process.connections.intercepted.get(each, 0)) for each in INTERCEPTIONS],
    ),
    Metric(
        "sidecar_rejections_total",
        MetricType.COUNTER,
        "Messages that were refused for their bytes, from callers or destinations, by reason.",
        (Label("reason", REASONS),),
        process=lambda process: [((reason,), process.source.rejections.get(reason, 0)) for reason in REASONS],
    ),
    Metric(
        "sidecar_misdirected_requests_total",
        MetricType.COUNTER,
        "Requests sent nowhere: for a host that no destination names (unlisted), for the sidecar itself (loop), for "
        "a refused address, a CONNECT without success (connect_failure) or leads past governance (connect_governed), "
        "or for want of files here (out_of_files).",
        (Label("reason", MISDIRECTIONS),),
        process=lambda process: [((reason,), process.source.misdirected.get(reason, 0)) for reason in MISDIRECTIONS],
    ),
    Metric(
        "sidecar_idempotency_requests_total",
        MetricType.COUNTER,
        "Requests on routes with an Idempotency-Key contract, by what became of them and of their runs.",
        (Label("route", ("names of ingress.routes",)), Label("outcome", KEY_OUTCOMES)),
        process=lambda process: [
            ((route, outcome), count)
            for route, outcomes in process.source.key_outcomes.items()
            for outcome, count in outcomes.items()
        ],
    ),
    Metric(
        "sidecar_idempotency_probes_total",
        MetricType.COUNTER,
        "Times the service was asked what became of a key whose outcome was unknown, by what it said.",
        (Label("route", ("names of ingress.routes that have a probe",)), Label("outcome", PROBE_OUTCOMES)),
        process=lambda process: [
            ((route, outcome), count)
            for route, outcomes in process.source.key_probes.items()
            for outcome, count in outcomes.items()
        ],
    ),
    Metric(
        "sidecar_idempotency_keys_unknown",
        MetricType.GAUGE,
        "Keys whose outcome is unknown and waits to be found out, at most 1000; looked at every 30 s.",
        process=lambda process: _known(process.source.keys_unknown),
    ),
    Metric(
        "sidecar_idempotency_store_failures_total",
        MetricType.COUNTER,
        "Times the store of idempotency keys was unavailable.",
        process=lambda process: _known(_of_store(process, lambda store: store.failures)),
    ),
    Metric(
        "sidecar_idempotency_store_seconds",
        MetricType.HISTOGRAM,
        "How long the store of idempotency keys took for a transition: a claim, a renewed lease, the end of a run.",
        process_histogram=lambda process: _of_store(process, lambda store: store.seconds),
    ),
    Metric(
        "sidecar_ingress_undeclared_total",
        MetricType.COUNTER,
        "Requests with side effects on routes that ingress.routes does not declare; 0 where it is empty.",
        (Label("method", WRITE_METHODS),),
        process=lambda process: [((method,), process.source.undeclared.get(method, 0)) for method in WRITE_METHODS],
    ),
    Metric(
        "sidecar_ingress_handshake_failures_total",
        MetricType.COUNTER,
        "Callers of the service whose TLS handshake with the ingress listener failed, by reason.",
        (Label("reason", HANDSHAKE_FAILURES),),
        process=lambda process: [
            ((reason,), process.source.handshake_failures.get(reason, 0)) for reason in HANDSHAKE_FAILURES
        ],
    ),
    Metric(
        "sidecar_certificate_renewal_success",
        MetricType.GAUGE,
        "1 if the certificates were all good when they were read last, else 0 and the last good one is in use.",
        process=lambda process: _one(int(process.source.certificates.error is None)),
    ),
    Metric(
        "sidecar_certificate_renewals_total",
        MetricType.COUNTER,
        "Certificates read again with other contents (success), and readings that found a bad one (failure).",
        (Label("result", ("success", "failure")),),
        process=lambda process: [
            (("success",), process.source.certificates.succeeded),
            (("failure",), process.source.certificates.failed),
        ],
    ),
    Metric(
        "sidecar_build_info",
        MetricType.GAUGE,
        "1, labelled with the versions of the sidecar and of its Python.",
        (Label("version", ("the sidecar's version",)), Label("python", ("Python's version",))),
        process=lambda process: [((__version__, platform.python_version()), 1)],
    ),
    Metric(
        "sidecar_outdated",
        MetricType.GAUGE,
        "1 if the policy in force asks for a newer sidecar than this one (min_sidecar), else 0.",
        process=lambda process: _one(int(process.source.standing.outdated)),
    ),
    Metric(
        "sidecar_policy_info",
        MetricType.GAUGE,
        "1, labelled with the policy in force.",
        (Label("version", ("the policy's version",)), Label("digest", ("of the policy's bytes",))),
        process=lambda process: [((str(process.source.policy.version), process.source.policy.digest), 1)],
    ),
    Metric(
        "sidecar_policy_reload_success",
        MetricType.GAUGE,
        "1 if the last attempt to load the policy succeeded, else 0 and the last good policy is in force.",
        process=lambda process: _one(int(process.source.reloads.error is None)),
    ),
    Metric(
        "sidecar_policy_reload_timestamp_seconds",
        MetricType.GAUGE,
        "Unix time at which the policy in force was loaded.",
        process=lambda process: _one(process.source.reloads.loaded_at),
    ),
    Metric(
        "sidecar_policy_reloads_total",
        MetricType.COUNTER,
        "Attempts to load the policy, by result.",
        (Label("result", ("success", "failure")),),
        process=lambda process: [
            (("success",), process.source.reloads.succeeded),
            (("failure",), process.source.reloads.failed),
        ],
    ),
    Metric(
        "sidecar_policy_exception_expiry_timestamp_seconds",
        MetricType.GAUGE,
        "Unix time at which an exception for this service ends and its guardrail holds again.",
        (Label("id", ("the exception's id",)),),
        process=lambda process: [((life.id,), life.expires_at) for life in process.source.exceptions],
    ),
    Metric(
        "sidecar_policy_exception_uses_total",
        MetricType.COUNTER,
        "Requests to destinations with a number past its guardrail by leave of the exception; 0 while it is not used.",
        (Label("id", ("the exception's id",)),),
        process=lambda process: [((life.id,), life.uses) for life in process.source.exceptions],
    ),
    Metric(
        "sidecar_policy_overrides_left_out",
        MetricType.GAUGE,
        "Overrides not in force: their exception is over or, on the baseline, the policy they need is missing.",
        (Label("destination", ("the policy's name",)),),
        process=lambda process: [((name,), count) for name, count in process.source.left_out.items()],
    ),
    Metric(
        "sidecar_observed_total",
        MetricType.COUNTER,
        "What the policy of a destination in mode observe would have done; saved is an estimate.",
        (Label("destination", ("the policy's name",)), Label("effect", OBSERVED)),
        process=lambda process: [
            ((name, effect), count)
            for name, shadow in process.source.observations.items()
            for effect, count in zip(
                OBSERVED,
                (
                    shadow.differences[Difference.RETRY],
                    shadow.saved,
                    shadow.refused,
                    shadow.differences[Difference.TIMEOUT],
                ),
                strict=True,
            )
        ],
    ),
    Metric(
        "sidecar_route_requests_total",
        MetricType.COUNTER,
        "Requests on a route of a destination that are over, by what became of them.",
        (
            Label("destination", ("the policy's name",)),
            Label("route", ("the route's name",)),
            Label("outcome", OUTCOMES),
        ),
        process=lambda process: [
            ((name, route.name, outcome), count)
            for name, routes in process.source.routes.items()
            for route in routes
            for outcome, count in zip(OUTCOMES, route.requests, strict=True)
        ],
    ),
    Metric(
        "sidecar_route_attempts_total",
        MetricType.COUNTER,
        "Attempts of those requests: divided by them, the amplification of the route.",
        ROUTE_LABELS,
        process=lambda process: [
            ((name, route.name), route.attempts) for name, routes in process.source.routes.items() for route in routes
        ],
    ),
    Metric(
        "sidecar_policy_origin",
        MetricType.GAUGE,
        "1 for where the policy in force came from, 0 for the others. baseline: no valid policy could be had.",
        (Label("origin", ORIGINS),),
        process=lambda process: _state(ORIGINS, process.source.standing.origin),
    ),
    Metric(
        "sidecar_policy_authority",
        MetricType.GAUGE,
        "1 for who names the policy's source: managed by the platform's authority file, or the service: unmanaged.",
        (Label("state", AUTHORITY_STATES),),
        process=lambda process: _state(
            AUTHORITY_STATES, AUTHORITY_STATES[0] if process.source.standing.managed else AUTHORITY_STATES[1]
        ),
    ),
    Metric(
        "sidecar_background_task_failures_total",
        MetricType.COUNTER,
        "Tasks beside requests that ended by themselves, and were started again: reading the policy, certificates.",
        (Label("task", ("the task's name",)),),
        process=lambda process: [((name,), count) for name, count in process.source.background_failures.items()],
    ),
    Metric(
        "sidecar_policy_source_age_seconds",
        MetricType.GAUGE,
        "Time since the policy's source was last found to say what is made of it.",
        process=lambda process: _one(process.source.standing.source_age),
    ),
    Metric(
        "sidecar_policy_expiry_timestamp_seconds",
        MetricType.GAUGE,
        "Unix time from which the policy in force should have been replaced; absent for one that does not expire.",
        process=lambda process: _given(process.source.standing.expires),
    ),
    Metric(
        "sidecar_policy_rollout_state",
        MetricType.GAUGE,
        "1 for where this pod stands towards the version its source offers, 0 for the others.",
        (Label("state", ROLLOUT_STATES),),
        process=lambda process: _state(ROLLOUT_STATES, process.source.standing.rollout),
    ),
    Metric(
        "sidecar_policy_rollout_aborts_total",
        MetricType.COUNTER,
        "Versions that this pod has given up because they amplified.",
        process=lambda process: _one(process.source.standing.aborts),
    ),
    Metric(
        "sidecar_policy_dry_run_decisions_total",
        MetricType.COUNTER,
        "Decisions of which it was asked what the version on trial would have decided; absent without a dry run.",
        (Label("destination", ("the policy's name",)),),
        process=lambda process: [((name,), shadow.compared) for name, shadow in process.source.shadows.items()],
    ),
    Metric(
        "sidecar_policy_dry_run_differences_total",
        MetricType.COUNTER,
        "Decisions that would have been others, by what the version on trial would have done; absent as above.",
        (Label("destination", ("the policy's name",)), Label("kind", DIFFERENCES)),
        process=lambda process: [
            ((name, difference.value), count)
            for name, shadow in process.source.shadows.items()
            for difference, count in shadow.differences.items()
        ],
    ),
    Metric(
        "sidecar_event_loop_lag_seconds",
        MetricType.GAUGE,
        "Longest delay of a timer of the event loop in the last 15 seconds, probed every tenth of a second.",
        process=lambda process: _one(process.source.event_loop_lag),
    ),
    Metric(
        "sidecar_log_lines_dropped_total",
        MetricType.COUNTER,
        "Log lines not written: over the rate limit, or because what was written was not read (backpressure).",
        (Label("reason", ("rate_limit", "backpressure")),),
        process=lambda process: _by_reason(process.source.log_lines_dropped),
    ),
    Metric(
        "sidecar_spans_total",
        MetricType.COUNTER,
        "Spans by what became of them; no series where traces are off. failed: not taken by the receiver.",
        (Label("result", ("exported", "failed", "dropped")),),
        process=lambda process: _by_reason(process.source.spans),
    ),
    Metric(
        "sidecar_series_dropped_total",
        MetricType.COUNTER,
        "Series left out of scrapes because there were too many; whole destinations, the last named first.",
        process=lambda process: _one(process.series_dropped),
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
        f"Destinations have at most {MAX_SERIES:,} series together. One has 166, and one more for each status over two",
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
        labels = own if metric.of_process else ["destination", *own]
        lines.append(f"| `{metric.name}` | {metric.kind.value} | {'; '.join(labels)} | {metric.help} |")
    bounds = ", ".join(f"{bound:g}" for bound in SECONDS)
    lines += ["", f"Histograms have the upper bounds {bounds} seconds and `+Inf`.", ""]
    return "\n".join(lines)


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(value if " " in value else f"`{value}`" for value in values)


if __name__ == "__main__":
    sys.stdout.write(reference())
