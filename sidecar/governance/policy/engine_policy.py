"""Settings by dotted path as the policy an engine runs on, and back.

The engine's own bounds are told from here too: they are asked of the engine, so that nobody else has to repeat them.
"""

from collections.abc import Mapping
from typing import Any

from sidecar.engine.outcome import Fault
from sidecar.engine.policy import (
    BackoffPolicy,
    BreakerPolicy,
    BudgetPolicy,
    ConcurrencyPolicy,
    DestinationPolicy,
    InvalidPolicy,
    RetryAfterPolicy,
    RetryPolicy,
    require,
)
from sidecar.governance.documents.units import Duration, Size
from sidecar.governance.policy.ceilings import ceiling_rule


def policy_of(values: Mapping[str, Any]) -> DestinationPolicy:
    """The engine's policy. Raises InvalidPolicy with the first rule of the engine that is broken."""
    require(
        values["idempotency_key.retention"] > 0 or not values["idempotency_key.honours"],
        "idempotency_key.retention",
        "must be over 0s where idempotency_key.honours is true: how long keys are kept",
        values["idempotency_key.retention"],
        ("idempotency_key.honours",),
    )
    return DestinationPolicy(
        timeout=float(values["timeout"]),
        per_attempt_timeout=float(values["per_attempt_timeout"]),
        idle_timeout=float(values["idle_timeout"]),
        retry=RetryPolicy(
            max_attempts=values["retry.max_attempts"],
            statuses=values["retry.statuses"],
            faults=frozenset(Fault(word) for word in values["retry.faults"]),
            methods=values["retry.methods"],
            backoff=BackoffPolicy(base=float(values["retry.backoff.base"]), max=float(values["retry.backoff.max"])),
            retry_after=RetryAfterPolicy(
                honour=values["retry.retry_after.honour"], max=float(values["retry.retry_after.max"])
            ),
            min_remaining=float(values["retry.min_remaining"]),
            window=float(values["retry.window"]),
            replay_buffer_bytes=int(values["retry.replay_buffer"]),
        ),
        budget=BudgetPolicy(
            ratio=values["budget.ratio"],
            window=float(values["budget.window"]),
            burst=values["budget.burst"],
            min_retries=values["budget.min_retries"],
        ),
        breaker=BreakerPolicy(
            failure_ratio=values["breaker.failure_ratio"],
            window=float(values["breaker.window"]),
            min_requests=values["breaker.min_requests"],
            consecutive_failures=values["breaker.consecutive_failures"],
            open=float(values["breaker.open"]),
            max_open=float(values["breaker.max_open"]),
            probes=values["breaker.probes"],
            ramp=float(values["breaker.ramp"]),
            hold=float(values["breaker.hold"]),
            statuses=values["breaker.statuses"],
        ),
        concurrency=ConcurrencyPolicy(
            limit=values["concurrency.limit"],
            initial=values["concurrency.initial"],
            min_in_flight=values["concurrency.min_in_flight"],
            max_in_flight=values["concurrency.max_in_flight"],
            max_waiting=values["concurrency.max_waiting"],
        ),
        honours_keys=values["idempotency_key.honours"],
        key_retention=float(values["idempotency_key.retention"]),
        observe=values["mode"] == "observe",
    )


def settings_of(policy: DestinationPolicy) -> dict[str, object]:
    """The settings that amount to `policy`."""
    retry, budget, breaker, concurrency = policy.retry, policy.budget, policy.breaker, policy.concurrency
    return {
        "timeout": Duration(policy.timeout),
        "per_attempt_timeout": Duration(policy.per_attempt_timeout),
        "idle_timeout": Duration(policy.idle_timeout),
        "retry.max_attempts": retry.max_attempts,
        "retry.statuses": retry.statuses,
        "retry.faults": frozenset(fault.value for fault in retry.faults),
        "retry.methods": retry.methods,
        "retry.backoff.base": Duration(retry.backoff.base),
        "retry.backoff.max": Duration(retry.backoff.max),
        "retry.backoff.jitter": "full",
        "retry.retry_after.honour": retry.retry_after.honour,
        "retry.retry_after.max": Duration(retry.retry_after.max),
        "retry.min_remaining": Duration(retry.min_remaining),
        "retry.window": Duration(retry.window),
        "retry.replay_buffer": Size(retry.replay_buffer_bytes),
        "budget.ratio": budget.ratio,
        "budget.window": Duration(budget.window),
        "budget.burst": budget.burst,
        "budget.min_retries": budget.min_retries,
        "breaker.failure_ratio": breaker.failure_ratio,
        "breaker.window": Duration(breaker.window),
        "breaker.min_requests": breaker.min_requests,
        "breaker.consecutive_failures": breaker.consecutive_failures,
        "breaker.open": Duration(breaker.open),
        "breaker.max_open": Duration(breaker.max_open),
        "breaker.probes": breaker.probes,
        "breaker.ramp": Duration(breaker.ramp),
        "breaker.hold": Duration(breaker.hold),
        "breaker.statuses": breaker.statuses,
        "concurrency.limit": concurrency.limit,
        "concurrency.initial": concurrency.initial,
        "concurrency.min_in_flight": concurrency.min_in_flight,
        "concurrency.max_in_flight": concurrency.max_in_flight,
        "concurrency.max_waiting": concurrency.max_waiting,
        "tls.verify": True,
        "idempotency_key.honours": policy.honours_keys,
        "idempotency_key.retention": Duration(policy.key_retention),
        "idempotency.class": "at_most_once",
        "idempotency.required": True,
        "idempotency.retention": Duration(86400),
        "idempotency.after_retention": "new",
        "idempotency.wait": Duration(0),
        "mode": "observe" if policy.observe else "enforce",
    }


def engine_rule(setting: str, value: object) -> str | None:
    """The rule that `value` breaks whatever the other settings and the guardrails are, or None."""
    if (rule := ceiling_rule(setting, value)) is not None:
        return rule
    try:
        policy_of({**settings_of(DestinationPolicy()), setting: value})
    except InvalidPolicy as error:
        return error.rule if error.field == setting and not error.others else None
    return None
