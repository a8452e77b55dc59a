"""The table is what is exported, what is documented, and what the engine counted."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sidecar.engine.breaker import BreakerState
from sidecar.engine.concurrency import LimitState
from sidecar.engine.outcome import AttemptKind, Fault, Result
from sidecar.engine.policy import (
    BreakerPolicy,
    BudgetPolicy,
    ConcurrencyPolicy,
    DestinationPolicy,
    LimitKind,
    RetryPolicy,
)
from sidecar.engine.retry import Admission, RetryState
from sidecar.engine.verdict import Refusal, Retry
from sidecar.telemetry.exporter import MetricsExporter
from sidecar.telemetry.exposition import OPENMETRICS, TEXT
from sidecar.telemetry.metrics import METRICS, MetricType, reference
from sidecar.telemetry.metrics_source import Connections, PolicyReloads
from tests.telemetry.sources import SetMetricsSource, destination, key_store

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"

Samples = dict[str, dict[frozenset[tuple[str, str]], float]]


def text_of(source: SetMetricsSource, content_type: str = TEXT, now: float = 0.0) -> bytes:
    return b"".join(asyncio.run(MetricsExporter(source, lambda: now).scrape(content_type)))


def scrape(source: SetMetricsSource, now: float = 0.0) -> Samples:
    return samples_of(families_of(text_of(source, now=now)))


def families_of(text: bytes) -> Iterable[Family]:
    return parse_text(text.decode())


def samples_of(families: Iterable[Family]) -> Samples:
    samples: Samples = defaultdict(dict)
    for family in families:
        for sample in family.samples:
            labels = frozenset(sample.labels.items())
            assert labels not in samples[sample.name], f"{sample.name} {sample.labels} twice"
            samples[sample.name][labels] = sample.value
    return samples


def labels(**values: str) -> frozenset[tuple[str, str]]:
    return frozenset(values.items())


def admitted(exchange: RetryState, now: float) -> RetryState:
    assert exchange.admit(now) is Admission.GO
    return exchange


def repeatable(source: SetMetricsSource, now: float = 0.0) -> RetryState:
    return admitted(RetryState(source.destinations["payments"], now, float("inf")), now)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_named_as_prometheus_asks(metric: object) -> None:
    (declared,) = [row for row in METRICS if row is metric]

    assert re.fullmatch(r"sidecar_[a-z]+(_[a-z]+)*", declared.name)
    assert declared.name.endswith("_total") == (declared.kind is MetricType.COUNTER)
    assert not re.search(r"_(ms|milliseconds|minutes|kb|percent|count|sum|bucket)(_|$)", declared.name)
    assert declared.kind is not MetricType.HISTOGRAM or declared.name.endswith("_seconds")
    assert declared.help.endswith(".")
    histograms = (declared.histogram, declared.process_histogram)
    assert sum(reader is not None for reader in (declared.process, declared.sample, *histograms)) == 1
    assert (declared.kind is MetricType.HISTOGRAM) == any(reader is not None for reader in histograms)


def test_no_two_metrics_share_a_name() -> None:
    names = [metric.name for metric in METRICS]

    assert len(set(names)) == len(names)


def test_the_scrape_has_every_metric_of_the_table_with_its_type_and_help() -> None:
    text = text_of(SetMetricsSource()).decode()

    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE))

    assert {name: kind for name, kind in types.items() if name.startswith("sidecar_")} == {
        metric.name: metric.kind.value for metric in METRICS
    }
    assert helps.keys() == types.keys()
    assert all(helps[metric.name] == metric.help for metric in METRICS)


def test_every_sample_carries_exactly_the_declared_labels() -> None:
    samples = scrape(SetMetricsSource())

    for metric in METRICS:
        name = f"{metric.name}_count" if metric.kind is MetricType.HISTOGRAM else metric.name
        names = {tuple(sorted(label for label, _ in series)) for series in samples[name]}
        assert names == {tuple(sorted(metric.label_names))}, metric.name


def test_every_sample_has_a_documented_label_value() -> None:
    samples = scrape(SetMetricsSource())

    for metric in METRICS:
        for label in metric.labels:
            if any(" " in value for value in label.values):  # bounded by the policy
                continue
            seen = {dict(series)[label.name] for series in samples[metric.name]}
            assert seen == set(label.values), f"{metric.name} {label.name}"


def test_nothing_is_exported_about_when_a_series_was_created() -> None:
    assert b"_created" not in text_of(SetMetricsSource())


def test_the_processs_own_metrics_are_there() -> None:
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"} <= scrape(
        SetMetricsSource()
    ).keys()


def test_openmetrics_says_the_same_as_the_classic_text() -> None:
    classic = samples_of(families_of(text_of(SetMetricsSource())))
    modern = samples_of(parse_openmetrics(text_of(SetMetricsSource(), OPENMETRICS).decode()))  # type: ignore[no-untyped-call]

    for metric in METRICS:
        name = f"{metric.name}_bucket" if metric.kind is MetricType.HISTOGRAM else metric.name
        assert modern[name] == classic[name]
        assert classic[name]


def test_every_combination_is_zero_before_the_first_request() -> None:
    samples = scrape(SetMetricsSource())

    assert len(samples["sidecar_requests_total"]) == len(Result)
    assert len(samples["sidecar_attempts_total"]) == len(Result) * len(AttemptKind)
    assert len(samples["sidecar_retry_refusals_total"]) == len(Refusal)
    assert len(samples["sidecar_breaker_transitions_total"]) == len(BreakerState)
    for name in ("sidecar_requests_total", "sidecar_attempts_total", "sidecar_retry_refusals_total"):
        assert set(samples[name].values()) == {0.0}


def test_the_causes_known_to_the_policy_are_there_from_the_start_and_no_others() -> None:
    policy = DestinationPolicy(retry=RetryPolicy(statuses=frozenset({502, 429}), faults=frozenset({Fault.RESET})))

    samples = scrape(SetMetricsSource(destinations={"ledger": destination("ledger", policy)}))

    assert samples["sidecar_retries_total"] == {
        labels(destination="ledger", cause=cause): 0.0 for cause in ("status_429", "status_502", "reset")
    }


def test_a_retry_that_succeeds_is_counted_where_it_belongs() -> None:
    source = SetMetricsSource()
    exchange = repeatable(source)
    assert isinstance(exchange.on_status(0.1, 503, None), Retry)
    assert exchange.depart(0.2) is Admission.GO
    exchange.on_status(0.4, 200, None)
    exchange.finish(0.4, Result.SUCCESS)

    samples = scrape(source, now=0.5)

    payments = {"destination": "payments"}
    assert samples["sidecar_requests_total"][labels(**payments, outcome="success")] == 1
    assert samples["sidecar_attempts_total"][labels(**payments, kind="first", outcome="server_error")] == 1
    assert samples["sidecar_attempts_total"][labels(**payments, kind="retry", outcome="success")] == 1
    assert sum(samples["sidecar_attempts_total"].values()) == 2
    assert samples["sidecar_retries_total"][labels(**payments, cause="status_503")] == 1
    assert samples["sidecar_retry_success_total"][labels(**payments)] == 1
    assert samples["sidecar_amplification_ratio"][labels(**payments)] == 2.0
    assert samples["sidecar_retry_ratio"][labels(**payments)] == 1.0
    assert samples["sidecar_request_duration_seconds_count"][labels(**payments)] == 1
    assert samples["sidecar_request_duration_seconds_sum"][labels(**payments)] == pytest.approx(0.4)
    assert samples["sidecar_attempt_duration_seconds_count"][labels(**payments)] == 2
    assert samples["sidecar_backoff_seconds_count"][labels(**payments)] == 1


def test_what_a_budget_may_spend_is_exported_as_the_policy_says_it() -> None:
    policy = DestinationPolicy(budget=BudgetPolicy(ratio=0.15, window=20.0, min_retries=7))

    samples = scrape(SetMetricsSource(destinations={"ledger": destination("ledger", policy)}))

    ledger = labels(destination="ledger")
    assert samples["sidecar_budget_ratio"] == {ledger: 0.15}
    assert samples["sidecar_budget_window_seconds"] == {ledger: 20.0}
    assert samples["sidecar_budget_min_retries"] == {ledger: 7}


def test_a_refused_retry_is_counted_under_its_reason() -> None:
    policy = DestinationPolicy(budget=BudgetPolicy(ratio=0.0, min_retries=0))
    source = SetMetricsSource(destinations={"payments": destination("payments", policy)})
    exchange = repeatable(source)
    exchange.on_status(0.1, 503, None)
    exchange.finish(0.1, Result.SERVER_ERROR)

    samples = scrape(source, now=0.2)

    refusals = samples["sidecar_retry_refusals_total"]
    assert refusals[labels(destination="payments", reason="budget_exhausted")] == 1
    assert sum(refusals.values()) == 1
    assert samples["sidecar_budget_exhausted_total"][labels(destination="payments")] == 1
    assert samples["sidecar_budget_balance"][labels(destination="payments")] == pytest.approx(0, abs=1e-6)


def test_the_counters_agree_with_the_tally_after_a_storm() -> None:
    source = SetMetricsSource()
    now = 0.0
    for n in range(500):
        now += 0.01
        exchange = RetryState(source.destinations["payments"], now, float("inf"))
        if exchange.admit(now) is Admission.GO:
            verdict = exchange.on_status(now + 0.001, 503 if n % 3 else 200, None)
            if isinstance(verdict, Retry) and exchange.depart(now + 0.002) is Admission.GO:
                exchange.on_status(now + 0.003, 503 if n % 2 else 200, None)
            exchange.finish(now + 0.003, Result.SERVER_ERROR if n % 3 else Result.SUCCESS)
        else:
            exchange.finish(now, Result.REFUSED)

    samples = scrape(source, now)

    tally = source.destinations["payments"].tally
    assert tally.retries
    assert sum(tally.refusals.values()) > 0
    assert sum(samples["sidecar_requests_total"].values()) == tally.requests_total == 500
    assert sum(samples["sidecar_attempts_total"].values()) == tally.attempts_total
    assert sum(samples["sidecar_retries_total"].values()) == sum(tally.retries.values())
    assert sum(samples["sidecar_retry_refusals_total"].values()) == sum(tally.refusals.values())
    assert sum(samples["sidecar_request_duration_seconds_count"].values()) == tally.request_seconds.count


def test_buckets_are_cumulative_and_end_in_the_count() -> None:
    source = SetMetricsSource()
    observed = source.destinations["payments"].tally.request_seconds
    for seconds in (0.001, 0.002, 0.7, 31.0):
        observed.observe(seconds)

    samples = scrape(source)

    buckets = {
        dict(series)["le"]: value for series, value in samples["sidecar_request_duration_seconds_bucket"].items()
    }
    assert list(buckets.values()) == sorted(buckets.values())
    assert (buckets["0.001"], buckets["0.0025"], buckets["1.0"], buckets["30.0"], buckets["+Inf"]) == (1, 2, 3, 3, 4)
    assert sum(samples["sidecar_request_duration_seconds_count"].values()) == 4


def test_exactly_one_breaker_state_holds_in_each_of_its_states() -> None:
    policy = DestinationPolicy(breaker=BreakerPolicy(consecutive_failures=1, open=1.0, max_open=1.0, ramp=1.0))
    source = SetMetricsSource(destinations={"payments": destination("payments", policy)})
    breaker = source.destinations["payments"].breaker
    seen: list[str] = []

    def look(now: float) -> None:
        states = scrape(source, now)["sidecar_breaker_state"]
        assert sorted(states.values()) == [0.0, 0.0, 0.0, 1.0]
        seen.extend(dict(series)["state"] for series, value in states.items() if value)

    look(0.0)
    breaker.admit(0.0)
    breaker.failure(breaker.generation, 0.0)
    look(0.1)
    assert breaker.admit(2.0)
    look(2.0)
    breaker.success(breaker.generation, 2.1)
    look(2.2)

    assert seen == ["closed", "open", "half_open", "recovering"]
    transitions = scrape(source, 2.2)["sidecar_breaker_transitions_total"]
    assert {dict(series)["to"] for series, value in transitions.items() if value} == {"open", "half_open", "recovering"}


def test_attempts_in_flight_and_originals_waiting_are_seen() -> None:
    policy = DestinationPolicy(concurrency=ConcurrencyPolicy(limit=LimitKind.FIXED, max_in_flight=5))
    source = SetMetricsSource(destinations={"payments": destination("payments", policy)})
    for _ in range(5):
        repeatable(source)

    waiting = [RetryState(source.destinations["payments"], 0.0, float("inf")).admit(0.0) for _ in range(3)]
    samples = scrape(source)

    payments = labels(destination="payments")
    assert waiting == [Admission.WAIT] * 3
    assert samples["sidecar_in_flight"][payments] == 5
    assert samples["sidecar_concurrency_limit"][payments] == 5
    assert samples["sidecar_waiting"][payments] == 3


def test_the_state_of_the_limit_is_one_of_its_states() -> None:
    source = SetMetricsSource()
    source.destinations["payments"].limiter.state = LimitState.HELD

    states = scrape(source)["sidecar_concurrency_state"]

    assert {state.value: states[labels(destination="payments", state=state.value)] for state in LimitState} == {
        state.value: int(state is LimitState.HELD) for state in LimitState
    }


def test_late_attempts_are_counted_apart_from_those_that_were_answered_and_those_that_won() -> None:
    source = SetMetricsSource()
    tally = source.destinations["payments"].tally
    tally.late_attempts, tally.late_answers, tally.late_wins = 9, 5, 2

    samples = scrape(source)

    payments = labels(destination="payments")
    counted = [samples[f"sidecar_late_{what}_total"][payments] for what in ("attempts", "answers", "wins")]
    assert counted == [9, 5, 2]


def test_what_the_process_says_is_exported() -> None:
    samples = scrape(SetMetricsSource())

    assert samples["sidecar_connections"] == {
        labels(destination="payments", state="active"): 2,
        labels(destination="payments", state="idle"): 3,
    }
    assert samples["sidecar_downstream_connections"] == {labels(): 4}
    assert samples["sidecar_tunnels_total"] == {labels(): 1}
    rejections = samples["sidecar_rejections_total"]
    assert {dict(series)["reason"]: count for series, count in rejections.items() if count} == {"head_too_large": 2}
    assert samples["sidecar_policy_info"] == {labels(version="7", digest="sha256:3f2a"): 1}
    assert samples["sidecar_policy_reload_success"] == {labels(): 1}
    assert samples["sidecar_policy_reload_timestamp_seconds"] == {labels(): 1_790_000_000}
    assert samples["sidecar_policy_reloads_total"] == {labels(result="success"): 3, labels(result="failure"): 1}
    assert samples["sidecar_certificate_renewal_success"] == {labels(): 0}
    assert samples["sidecar_certificate_renewals_total"] == {labels(result="success"): 2, labels(result="failure"): 1}
    assert samples["sidecar_misdirected_requests_total"][labels(reason="unlisted")] == 9
    assert samples["sidecar_ingress_undeclared_total"][labels(method="POST")] == 5
    handshakes = samples["sidecar_ingress_handshake_failures_total"]
    assert {dict(series)["reason"]: n for series, n in handshakes.items() if n} == {"tls_client_certificate": 6}
    assert samples["sidecar_event_loop_lag_seconds"] == {labels(): 0.0125}
    assert samples["sidecar_log_lines_dropped_total"] == {
        labels(reason="rate_limit"): 5,
        labels(reason="backpressure"): 0,
    }


def test_a_failed_reload_is_seen_without_its_text() -> None:
    reloads = PolicyReloads(3, 2, 1_790_000_000.0, "policy.yaml:12: budget.ratio: must be between 0 and 1.0, got 7")

    text = text_of(SetMetricsSource(reloads=reloads)).decode()

    assert "sidecar_policy_reload_success 0\n" in text
    assert "policy.yaml" not in text


def test_traffic_does_not_make_series() -> None:
    source = SetMetricsSource()
    before = {name: series.keys() for name, series in scrape(source).items()}
    for status in range(400, 600):
        exchange = RetryState(source.destinations["payments"], 0.0, float("inf"))
        if exchange.admit(0.0) is Admission.GO:
            exchange.on_status(0.0, status, None)
        exchange.finish(0.0, Result.SERVER_ERROR)

    after = {name: series.keys() for name, series in scrape(source).items()}

    assert after == before


def test_a_destination_that_nothing_is_connected_to_has_zero_connections() -> None:
    none = Connections(downstream=0, tunnels=0, active={}, idle={})

    samples = scrape(SetMetricsSource(open_connections=none))

    assert set(samples["sidecar_connections"].values()) == {0.0}
    assert len(samples["sidecar_connections"]) == 2


def test_a_destinations_name_is_escaped() -> None:
    name = 'pay"ments\\'

    samples = scrape(replace(SetMetricsSource(), destinations={name: destination(name)}))

    assert labels(destination=name) in samples["sidecar_budget_balance"]


def test_the_reference_page_is_what_the_table_says() -> None:
    written = DOCS.read_text(encoding="utf-8")

    assert written == reference(), "run: make docs"


def test_the_store_of_keys_has_a_histogram_of_the_process() -> None:
    samples = scrape(SetMetricsSource(key_store=key_store(0, took=(0.002, 0.2))))

    assert samples["sidecar_idempotency_store_seconds_count"] == {frozenset(): 2.0}
    assert sum(samples["sidecar_idempotency_store_seconds_sum"].values()) == pytest.approx(0.202)
    below = {dict(labels)["le"]: count for labels, count in samples["sidecar_idempotency_store_seconds_bucket"].items()}
    assert (below["0.001"], below["0.0025"], below["0.25"], below["+Inf"]) == (0, 1, 2, 2)


def test_without_a_gate_there_is_no_series_of_its_store() -> None:
    samples = scrape(SetMetricsSource(key_store=None, keys_unknown=None))

    assert not [name for name in samples if name.startswith(("sidecar_idempotency_store", "sidecar_idempotency_keys"))]
