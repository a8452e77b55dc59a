"""Writes dashboard.json: `make docs`, or `python deploy/grafana/build.py > deploy/grafana/dashboard.json`.

The dashboard is this table. Grafana's JSON says the same in two thousand lines, which no one reviews.
"""

import json
import sys
from dataclasses import dataclass
from typing import Any, Final

DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS: Final = 24
HEIGHT: Final = 8

SCOPE = 'namespace=~"$namespace", job=~"$job"'
DESTINATION = f'{SCOPE}, destination=~"$destination"'
ROUTE = f'{SCOPE}, route=~"$route"'
POD = f'{SCOPE}, instance=~"$instance"'

WORDS = {
    "SCOPE": SCOPE,
    "DESTINATION": DESTINATION,
    "ROUTE": ROUTE,
    "POD": POD,
    "RANGE": "[$__rate_interval]",
}
"""What stands for itself in the expressions below, between percent signs."""


@dataclass(frozen=True)
class Query:
    """One query; `legend` is Grafana's legend format."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One panel. `warn` and `alarm` are thresholds; `stacked` for parts of a whole."""

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False
    warn: float | None = None
    alarm: float | None = None
    least: float | None = 0


@dataclass(frozen=True)
class Row:
    """One row of panels under a title."""

    title: str
    panels: tuple[Panel, ...]


FLEET = Row(
    "Fleet: who amplifies, towards whom, and why retries are refused",
    (
        Panel(
            "Amplification, worst destination",
            "Attempts per request, of the destination that gets most of them. 1.1 is a budget spent to its end; over "
            "1.2 a person is paged (SidecarAmplification).",
            "none",
            (
                Query(
                    "max(sum by (destination) (rate(sidecar_attempts_total{%SCOPE%}%RANGE%))"
                    ' / (sum by (destination) (rate(sidecar_requests_total{%SCOPE%, outcome!="refused"}%RANGE%)) > 0))',
                    "worst",
                ),
            ),
            kind="stat",
            width=4,
            warn=1.1,
            alarm=1.2,
        ),
        Panel(
            "Amplification by destination",
            "All callers together: what the destination's owners feel. A quotient of sums, never an average of ratios.",
            "none",
            (
                Query(
                    "sum by (destination) (rate(sidecar_attempts_total{%SCOPE%}%RANGE%))"
                    ' / (sum by (destination) (rate(sidecar_requests_total{%SCOPE%, outcome!="refused"}%RANGE%)) > 0)',
                    "{{destination}}",
                ),
            ),
            width=10,
            warn=1.1,
            alarm=1.2,
            least=0.9,
        ),
        Panel(
            "Amplification by caller, the ten highest",
            "One calling service towards one destination: whose retries they are.",
            "none",
            (
                Query(
                    "topk(10, sum by (job, destination) (rate(sidecar_attempts_total{%SCOPE%}%RANGE%))"
                    " / (sum by (job, destination)"
                    ' (rate(sidecar_requests_total{%SCOPE%, outcome!="refused"}%RANGE%)) > 0))',
                    "{{job}} → {{destination}}",
                ),
            ),
            width=10,
            warn=1.1,
            alarm=1.2,
            least=0.9,
        ),
        Panel(
            "Retries and originals refused, by reason",
            "What the sidecars held back. docs/refusals.md says what each reason means and what to do.",
            "reqps",
            (Query("sum by (reason) (rate(sidecar_retry_refusals_total{%SCOPE%}%RANGE%))", "{{reason}}"),),
            stacked=True,
        ),
        Panel(
            "Requests and attempts",
            "The gap between the two is retries and reconnects.",
            "reqps",
            (
                Query("sum(rate(sidecar_requests_total{%SCOPE%}%RANGE%))", "requests"),
                Query("sum(rate(sidecar_attempts_total{%SCOPE%}%RANGE%))", "attempts"),
            ),
        ),
        Panel(
            "Breakers that are not closed",
            "Pods that leave a destination alone, or are on their way back to it. closed means that traffic flows.",
            "short",
            (Query('sum by (destination) (1 - sidecar_breaker_state{%SCOPE%, state="closed"})', "{{destination}}"),),
            width=4,
        ),
        Panel(
            "Policies in force",
            "Pods by the version of their policy. More than one for long is a stuck roll-out (SidecarPolicyStale).",
            "short",
            (Query("count by (version) (sidecar_policy_info{%SCOPE%})", "version {{version}}"),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Sidecars by version",
            "Pods by the version of their sidecar. Older ones than the policy asks for are a ticket (SidecarOutdated).",
            "short",
            (Query("count by (version) (sidecar_build_info{%SCOPE%})", "sidecar {{version}}"),),
            kind="stat",
            width=4,
        ),
    ),
)

ONE_DESTINATION = Row(
    "Destination: $destination",
    (
        Panel(
            "Requests by outcome",
            "How requests ended for their callers, however many attempts that took. refused: never sent.",
            "reqps",
            (Query("sum by (outcome) (rate(sidecar_requests_total{%DESTINATION%}%RANGE%))", "{{outcome}}"),),
            stacked=True,
        ),
        Panel(
            "Attempts by kind",
            "retry is paid for by the budget; reconnect is a kept-alive connection that the destination had closed.",
            "reqps",
            (Query("sum by (kind) (rate(sidecar_attempts_total{%DESTINATION%}%RANGE%))", "{{kind}}"),),
            stacked=True,
        ),
        Panel(
            "Retries by cause",
            "The outcome that asked for each retry.",
            "reqps",
            (Query("sum by (cause) (rate(sidecar_retries_total{%DESTINATION%}%RANGE%))", "{{cause}}"),),
            stacked=True,
        ),
        Panel(
            "Retries against the budget",
            "What was retried, and what the budgets of all pods pay for: their share of the requests and their floor.",
            "reqps",
            (
                Query("sum(rate(sidecar_retries_total{%DESTINATION%}%RANGE%))", "retries"),
                Query(
                    "sum(sidecar_budget_ratio{%DESTINATION%}"
                    ' * sum without (outcome) (rate(sidecar_requests_total{%DESTINATION%, outcome!="refused"}%RANGE%))'
                    " + sidecar_budget_min_retries{%DESTINATION%} / sidecar_budget_window_seconds{%DESTINATION%})",
                    "paid for",
                ),
                Query("sum(rate(sidecar_budget_exhausted_total{%DESTINATION%}%RANGE%))", "not paid for"),
            ),
        ),
        Panel(
            "Retries that helped",
            "Requests that succeeded at their second or a later attempt, of all retries. Near 0: the failure is not "
            "transient.",
            "percentunit",
            (
                Query(
                    "sum(rate(sidecar_retry_success_total{%DESTINATION%}%RANGE%))"
                    " / (sum(rate(sidecar_retries_total{%DESTINATION%}%RANGE%)) > 0)",
                    "helped",
                ),
            ),
        ),
        Panel(
            "Refusals by reason",
            "Wanted retries that were not made, and originals that were never sent (breaker_open, concurrency_limit).",
            "reqps",
            (Query("sum by (reason) (rate(sidecar_retry_refusals_total{%DESTINATION%}%RANGE%))", "{{reason}}"),),
            stacked=True,
        ),
        Panel(
            "Request duration",
            "From a request's head to its response's head: back-off and every attempt included.",
            "s",
            tuple(
                Query(
                    f"histogram_quantile({q}, sum by (le) (rate(sidecar_request_duration_seconds_bucket"
                    "{%DESTINATION%}%RANGE%)))",
                    f"p{100 * q:g}",
                )
                for q in (0.5, 0.9, 0.99)
            ),
        ),
        Panel(
            "Attempt duration",
            "One attempt until its response head or its fault: the destination itself.",
            "s",
            tuple(
                Query(
                    f"histogram_quantile({q}, sum by (le) (rate(sidecar_attempt_duration_seconds_bucket"
                    "{%DESTINATION%}%RANGE%)))",
                    f"p{100 * q:g}",
                )
                for q in (0.5, 0.9, 0.99)
            ),
        ),
        Panel(
            "Back-off and Retry-After",
            "How long retries were held back, and what the destination asked for.",
            "s",
            (
                Query(
                    "histogram_quantile(0.9, sum by (le) (rate(sidecar_backoff_seconds_bucket{%DESTINATION%}%RANGE%)))",
                    "back-off p90",
                ),
                Query(
                    "histogram_quantile(0.9, sum by (le)"
                    " (rate(sidecar_retry_after_seconds_bucket{%DESTINATION%}%RANGE%)))",
                    "Retry-After p90",
                ),
            ),
        ),
        Panel(
            "Breaker, pods by state",
            "closed means that traffic flows.",
            "short",
            (Query("sum by (state) (sidecar_breaker_state{%DESTINATION%})", "{{state}}"),),
            stacked=True,
        ),
        Panel(
            "In flight",
            "Attempts in flight in all pods, how many may be, and originals that wait for a place.",
            "short",
            (
                Query("sum(sidecar_in_flight{%DESTINATION%})", "in flight"),
                Query("sum(sidecar_concurrency_limit{%DESTINATION%})", "limit"),
                Query("sum(sidecar_waiting{%DESTINATION%})", "waiting"),
            ),
        ),
        Panel(
            "Connections to it",
            "active: an attempt uses it. idle: kept for the next one.",
            "short",
            (Query("sum by (state) (sidecar_connections{%DESTINATION%})", "{{state}}"),),
            stacked=True,
        ),
    ),
)

ONE_POD = Row(
    "Pod: $instance",
    (
        Panel(
            "Amplification, last ten seconds",
            "As the sidecar itself says, by destination.",
            "none",
            (Query("sidecar_amplification_ratio{%POD%}", "{{instance}} → {{destination}}"),),
            warn=1.1,
            alarm=1.2,
            least=0.9,
        ),
        Panel(
            "Budget balance",
            "Retries that the budget could pay for now.",
            "short",
            (Query("sidecar_budget_balance{%POD%}", "{{instance}} → {{destination}}"),),
        ),
        Panel(
            "Past the sidecar",
            "Open connections of the service that go straight to a destination, as of the last sample (every 10 s): "
            "no budget, no breaker, no key. What passes through tunnels is not governed either.",
            "short",
            (
                Query("sum by (destination) (sidecar_bypass_connections{%POD%}) > 0", "straight to {{destination}}"),
                Query("sum(rate(sidecar_tunnels_total{%POD%}%RANGE%))", "tunnels opened per second"),
            ),
        ),
        Panel(
            "Event loop lag",
            "Longest delay of a timer in the last 15 seconds: what the sidecar itself makes a request wait at most.",
            "s",
            (Query("sidecar_event_loop_lag_seconds{%POD%}", "{{instance}}"),),
        ),
        Panel(
            "Processor time",
            "Cores in use. A sidecar uses one at most.",
            "short",
            (Query("rate(process_cpu_seconds_total{%POD%}%RANGE%)", "{{instance}}"),),
        ),
        Panel(
            "Memory",
            "Resident set size.",
            "bytes",
            (Query("process_resident_memory_bytes{%POD%}", "{{instance}}"),),
        ),
        Panel(
            "Connections from callers, and open files",
            "Files run out at the process's limit (process_max_fds).",
            "short",
            (
                Query("sidecar_downstream_connections{%POD%}", "{{instance}} connections"),
                Query("process_open_fds{%POD%}", "{{instance}} files"),
            ),
        ),
        Panel(
            "Policy",
            "1: the last attempt to load it succeeded. 0: the last good one is in force (SidecarPolicyReloadFailing).",
            "none",
            (Query("sidecar_policy_reload_success{%POD%}", "{{instance}}"),),
        ),
        Panel(
            "Refused for their bytes",
            "Messages from callers or destinations that are not what HTTP/1.1 allows, or beyond a limit.",
            "reqps",
            (Query("sum by (reason) (rate(sidecar_rejections_total{%POD%}%RANGE%))", "{{reason}}"),),
        ),
        Panel(
            "Left out of logs, traces and metrics",
            "Log lines over the limit or not read, spans that did not fit or were not taken, series beyond the bound.",
            "cps",
            (
                Query("sum by (reason) (rate(sidecar_log_lines_dropped_total{%POD%}%RANGE%))", "log lines: {{reason}}"),
                Query(
                    'sum by (result) (rate(sidecar_spans_total{%POD%, result!="exported"}%RANGE%))', "spans: {{result}}"
                ),
                Query("sum(rate(sidecar_series_dropped_total{%POD%}%RANGE%))", "series"),
            ),
        ),
    ),
)

KEYS = Row(
    "Idempotency keys: $route",
    (
        Panel(
            "Answers given again, of all",
            "The hit rate of each route: requests that got the first one's answer, of those and the ones that ran. "
            "Five times its day is a ticket (SidecarIdempotencyReplaysRising), none in a day another "
            "(SidecarIdempotencySilent).",
            "percentunit",
            (
                Query(
                    'sum by (route) (rate(sidecar_idempotency_requests_total{%ROUTE%, outcome="replayed"}%RANGE%))'
                    ' / (sum by (route) (rate(sidecar_idempotency_requests_total{%ROUTE%, outcome="new"}%RANGE%))'
                    ' + sum by (route) (rate(sidecar_idempotency_requests_total{%ROUTE%, outcome="replayed"}%RANGE%))'
                    " > 0)",
                    "{{route}}",
                ),
            ),
        ),
        Panel(
            "Requests without a usable key",
            "key_missing and key_malformed were refused; without_key passed unprotected, where the route allows it.",
            "reqps",
            tuple(
                Query(
                    f'sum by (route) (rate(sidecar_idempotency_requests_total{{%ROUTE%, outcome="{word}"}}%RANGE%))',
                    f"{{{{route}}}}: {word}",
                )
                for word in ("key_missing", "key_malformed", "without_key")
            ),
            stacked=True,
        ),
        Panel(
            "Refused by the gate, by reason",
            "Requests that were not run. docs/refusals says what each reason means and what to do.",
            "reqps",
            tuple(
                Query(
                    f'sum(rate(sidecar_idempotency_requests_total{{%ROUTE%, outcome="{word}"}}%RANGE%))',
                    word,
                )
                for word in (
                    "in_flight",
                    "outcome_unknown",
                    "key_reused",
                    "key_expired",
                    "body_too_large",
                    "store_unavailable",
                )
            ),
            stacked=True,
        ),
        Panel(
            "How runs ended",
            "completed: the answer is kept. released: nothing was done. unknown: it may have been. unsettled: the end "
            "could not be written down.",
            "reqps",
            tuple(
                Query(
                    f'sum(rate(sidecar_idempotency_requests_total{{%ROUTE%, outcome="{word}"}}%RANGE%))',
                    word,
                )
                for word in ("completed", "released", "unknown", "unsettled")
            ),
            stacked=True,
        ),
        Panel(
            "Outcomes that wait to be found out",
            "Keys whose outcome is unknown, by service. More than 0 for a quarter of an hour is a ticket "
            "(SidecarIdempotencyUnknown).",
            "short",
            (Query("max by (job) (sidecar_idempotency_keys_unknown{%SCOPE%})", "{{job}}"),),
            warn=1,
            alarm=10,
        ),
        Panel(
            "What the service said of unknown outcomes",
            "Answers to probes. undecided: neither yes nor no. failed: no answer. settled: found out otherwise.",
            "cps",
            (
                Query(
                    "sum by (route, outcome) (rate(sidecar_idempotency_probes_total{%ROUTE%}%RANGE%)) > 0",
                    "{{route}}: {{outcome}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            "The store: how long a transition takes",
            "A claim, a renewed lease or the end of a run. Over 2 s counts as a failure.",
            "s",
            tuple(
                Query(
                    f"histogram_quantile({q}, sum by (le) (rate(sidecar_idempotency_store_seconds_bucket"
                    "{%SCOPE%}%RANGE%)))",
                    f"p{100 * q:g}",
                )
                for q in (0.5, 0.9, 0.99)
            ),
        ),
        Panel(
            "The store: failures, and what they cost",
            "Failures of the store (a page: SidecarIdempotencyStoreFailing); requests that were refused for it, that "
            "passed unprotected, and runs whose end could not be written down.",
            "cps",
            (
                Query("sum by (job) (rate(sidecar_idempotency_store_failures_total{%SCOPE%}%RANGE%))", "{{job}}"),
                *(
                    Query(
                        f'sum(rate(sidecar_idempotency_requests_total{{%SCOPE%, outcome="{word}"}}%RANGE%))',
                        word,
                    )
                    for word in ("store_unavailable", "unprotected", "unsettled")
                ),
            ),
        ),
        Panel(
            "Writes that no route declares",
            "By method. They pass under no contract (SidecarRequestsUndeclared).",
            "reqps",
            (Query("sum by (method) (rate(sidecar_ingress_undeclared_total{%SCOPE%}%RANGE%))", "{{method}}"),),
            stacked=True,
        ),
    ),
)

ROWS: Final = (FLEET, ONE_DESTINATION, KEYS, ONE_POD)


def dashboard() -> dict[str, Any]:
    """Grafana's form of it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row in ROWS:
        panels.append(_row(row.title, len(panels) + 1, top))
        top += 1
        left = 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                left, top = 0, top + HEIGHT
            panels.append(_panel(panel, len(panels) + 1, left, top))
            left += panel.width
        top += HEIGHT
    return {
        "uid": "retry-sidecar",
        "title": "Retry Sidecar",
        "description": "Amplification, budgets, breakers and refusals of a fleet. Made by deploy/grafana/build.py.",
        "tags": ["retry-sidecar"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [],
        "annotations": {"list": []},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                    "hide": 0,
                    "refresh": 1,
                },
                _variable("namespace", "Namespace", "label_values(sidecar_policy_info, namespace)"),
                _variable("job", "Service", 'label_values(sidecar_policy_info{namespace=~"$namespace"}, job)'),
                _variable("destination", "Destination", f"label_values(sidecar_budget_ratio{{{SCOPE}}}, destination)"),
                _variable("route", "Route", f"label_values(sidecar_idempotency_requests_total{{{SCOPE}}}, route)"),
                _variable("instance", "Pod", f"label_values(sidecar_policy_info{{{SCOPE}}}, instance)"),
            ]
        },
        "panels": panels,
    }


def _variable(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": "All", "value": "$__all"},
    }


def _row(title: str, number: int, top: int) -> dict[str, Any]:
    place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _panel(panel: Panel, number: int, left: int, top: int) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    steps += [{"color": "orange", "value": panel.warn}] if panel.warn is not None else []
    steps += [{"color": "red", "value": panel.alarm}] if panel.alarm is not None else []
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    options: dict[str, Any]
    if panel.kind == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area"}
    else:
        options = {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
        defaults["custom"] = {
            "fillOpacity": 20 if panel.stacked else 0,
            "stacking": {"mode": "normal" if panel.stacked else "none"},
            "thresholdsStyle": {"mode": "line" if panel.alarm is not None else "off"},
            "showPoints": "never",
        }
        if panel.least is not None:
            defaults["min"] = panel.least
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": {"x": left, "y": top, "w": panel.width, "h": HEIGHT},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": _spelled_out(query.expr),
                "legendFormat": query.legend,
            }
            for index, query in enumerate(panel.queries)
        ],
    }


def _spelled_out(expr: str) -> str:
    for word, meaning in WORDS.items():
        expr = expr.replace(f"%{word}%", meaning)
    return expr


if __name__ == "__main__":
    json.dump(dashboard(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
