"""The law of governed policy: past a guardrail is only what a live exception names, whatever documents say."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings, strategies

from sidecar.engine.policy import BACKOFF_BASE_FLOOR, BUDGET_RATIO_CEILING, MAX_ATTEMPTS_CEILING
from sidecar.governance.documents.finding import InvalidDocument
from sidecar.governance.documents.settings import SETTINGS
from sidecar.governance.policy.bootstrap import from_file
from sidecar.governance.policy.delivery import Delivery
from sidecar.governance.policy.guardrails import BASELINE_GUARDRAILS
from sidecar.governance.policy.snapshot import Snapshot, compiled

GUARDED = {
    "budget.ratio": ([0.05, 0.15, 0.2, 0.3, 0.4, 0.8, 5], [0.1, 0.2, 0.3], [0.3, 0.5, 0.9, 2]),
    "retry.max_attempts": ([1, 3, 4, 5, 7, 12], [3, 4, 5], [5, 6, 20]),
    "budget.min_retries": ([0, 3, 10, 50, 200], [3, 10, 20], [20, 60]),
    "breaker.min_requests": ([1, 20, 50, 120, 900, 5000], [20, 50, 2000], [200, 3000]),
    "breaker.consecutive_failures": ([1, 10, 50, 120, 900, 5000], [20, 50, 2000], [200, 3000]),
    "concurrency.max_waiting": ([0, 1024, 2048, 5000, 50000], [1024, 2048, 90000], [5000, 90000]),
}
"""Of each setting the values that are asked for, the guardrails, and the ceilings."""
DAYS = [date(2026, 11, 20) + timedelta(days=n) for n in (0, 5, 10, 20, 40, 100)]
SERVICES = ("checkout", "billing")
DESTINATIONS = ("payments", "ledger")
CEILINGS = {setting: spec.ceiling for setting, spec in SETTINGS.items() if spec.ceiling is not None}
BUILT_IN = {setting: BASELINE_GUARDRAILS[setting].high for setting in GUARDED}

guardrail = strategies.sampled_from(list(GUARDED)).flatmap(
    lambda setting: strategies.tuples(
        strategies.just(setting),
        strategies.sampled_from(GUARDED[setting][1]),
        strategies.sampled_from([None, *GUARDED[setting][2]]),
        strategies.booleans(),
    )
)
exception = strategies.sampled_from(list(GUARDED)).flatmap(
    lambda setting: strategies.fixed_dictionaries(
        {
            "service": strategies.sampled_from([*SERVICES, "'*'"]),
            "destination": strategies.sampled_from(DESTINATIONS),
            "setting": strategies.just(setting),
            "value": strategies.sampled_from(GUARDED[setting][0]),
            "reason": strategies.sampled_from(["a reason that is long enough", "short"]),
            "ticket": strategies.just("T-1"),
            "owner": strategies.sampled_from(["team", "a"]),
            "approved_by": strategies.sampled_from(["[a]", "[a, b]", "[team, b]"]),
            "not_before": strategies.sampled_from(DAYS),
            "expires": strategies.sampled_from(DAYS),
        }
    )
)
asked = strategies.dictionaries(
    strategies.sampled_from(DESTINATIONS),
    strategies.fixed_dictionaries(
        {}, optional={setting: strategies.sampled_from(values[0]) for setting, values in GUARDED.items()}
    ),
)
instant = strategies.sampled_from(DAYS).flatmap(
    lambda day: strategies.sampled_from([-1, 0, 1]).map(
        lambda step: datetime.combine(day, datetime.min.time(), UTC) + timedelta(microseconds=step)
    )
)


def nested(said: dict[str, Any]) -> str:
    sections: dict[str, list[str]] = {}
    for setting, value in said.items():
        section, _, name = setting.partition(".")
        sections.setdefault(section, []).append(f"{name}: {value}")
    return "{" + ", ".join(f"{section}: {{{', '.join(words)}}}" for section, words in sections.items()) + "}"


def policy_text(guardrails: list[tuple[Any, ...]], platform: dict[str, Any], exceptions: list[dict[str, Any]]) -> str:
    bounds = {}
    for setting, most, ceiling, hard in guardrails:
        reach = "" if ceiling is None else f", ceiling: {ceiling}"
        bounds[setting] = f"{{max: {most}{reach}{', level: hard' if hard else ''}}}"
    lines = ["version: 1", "owner: platform"]
    lines += ["guardrails: {" + ", ".join(f"{name}: {bound}" for name, bound in bounds.items()) + "}"]
    lines += ["destinations: {" + ", ".join(f"{name}: {nested(said)}" for name, said in platform.items()) + "}"]
    lines += ["exceptions:"] if exceptions else []
    for number, fields in enumerate(exceptions):
        words = ", ".join(f"{name}: {value}" for name, value in fields.items())
        lines.append(f"  - {{id: EX-{number}, {words}}}")
    return "\n".join(lines) + "\n"


def sidecar_text(overrides: dict[str, Any]) -> str:
    lines = ["service: checkout", "policy: {file: p.yaml}", "destinations:"]
    for name in DESTINATIONS:
        lines += [f"  {name}:", f'    endpoints: ["http://{name}:80"]']
        lines += [f"    overrides: {nested(overrides[name])}"] if name in overrides else []
    return "\n".join(lines) + "\n"


def allowed(
    exceptions: list[dict[str, Any]], guardrails: list[tuple[Any, ...]], name: str, setting: str, now: datetime
) -> float:
    """The most that the rules of the written law allow, worked out from what was drawn and not from what was read."""
    most, ceiling, hard = next(
        (rest for own, *rest in reversed(guardrails) if own == setting),
        (BUILT_IN[setting], None, False),
    )
    best = float(most)
    for each in exceptions:
        begin, end = (datetime.combine(each[edge], datetime.min.time(), UTC) for edge in ("not_before", "expires"))
        whose = each["service"] == "checkout" and each["destination"] == name and each["setting"] == setting
        two = each["approved_by"] == "[a, b]"
        reviewed = each["owner"] not in each["approved_by"].strip("[]").split(", ") and (two or not hard)
        short = timedelta(0) < each["expires"] - each["not_before"] <= timedelta(days=30 if hard else 90)
        under = ceiling is None or each["value"] <= ceiling
        if whose and reviewed and short and under and each["reason"] != "short" and begin <= now < end:
            best = max(best, each["value"])
    return best


@settings(max_examples=300)
@given(
    guardrails=strategies.lists(guardrail, max_size=3, unique_by=lambda drawn: drawn[0]),
    platform=asked,
    overrides=asked,
    exceptions=strategies.lists(exception, max_size=3),
    read_at=instant,
    now=instant,
)
def test_no_documents_get_past_a_guardrail_but_by_a_live_exception(
    guardrails: list[tuple[Any, ...]],
    platform: dict[str, Any],
    overrides: dict[str, Any],
    exceptions: list[dict[str, Any]],
    read_at: datetime,
    now: datetime,
) -> None:
    policy = policy_text(guardrails, platform, exceptions)
    try:
        bootstrap = from_file(Path("s.yaml"), sidecar_text(overrides).encode(), [])
        snapshot = compiled(bootstrap, Delivery("p.yaml", policy.encode()), [], read_at)
    except InvalidDocument:
        return

    for moment, resolved in ((read_at, snapshot), (now, snapshot.at(now))):
        for name in DESTINATIONS:
            for setting in GUARDED:
                assert in_force(resolved, name, setting) <= allowed(exceptions, guardrails, name, setting, moment)
            engine = resolved.destinations[name].policy
            assert engine.budget.ratio <= BUDGET_RATIO_CEILING
            assert engine.retry.max_attempts <= MAX_ATTEMPTS_CEILING
            assert engine.retry.backoff.base >= BACKOFF_BASE_FLOOR
            for setting, ceiling in CEILINGS.items():
                least, most = ceiling
                assert least <= in_force(resolved, name, setting) <= most


def in_force(snapshot: Snapshot, name: str, setting: str) -> float:
    value = snapshot.destinations[name].resolution.values[setting]
    assert isinstance(value, (int, float))
    return value


@settings(max_examples=150)
@given(
    exceptions=strategies.lists(exception, min_size=1, max_size=3),
    overrides=asked,
    read_at=instant,
    now=instant,
)
def test_a_running_sidecar_has_what_one_has_that_reads_the_same_documents_now(
    exceptions: list[dict[str, Any]], overrides: dict[str, Any], read_at: datetime, now: datetime
) -> None:
    """Wherever those that read them now are not refused."""
    delivery = Delivery("p.yaml", policy_text([], {}, exceptions).encode())

    def read(at: datetime) -> Snapshot | None:
        try:
            return compiled(from_file(Path("s.yaml"), sidecar_text(overrides).encode(), []), delivery, [], at)
        except InvalidDocument:
            return None

    running, fresh = read(read_at), read(now)
    if running is None or fresh is None:
        return

    assert {name: d.policy for name, d in running.at(now).destinations.items()} == {
        name: d.policy for name, d in fresh.destinations.items()
    }


def test_the_law_is_tried_where_exceptions_are_live() -> None:
    """So that the tests above are not empty: this one must pass a guardrail."""
    fields = {"service": "checkout", "destination": "ledger", "setting": "budget.ratio", "value": 0.4}
    fields |= {"reason": "a reason that is long enough", "ticket": "T-1", "owner": "team", "approved_by": "[a, b]"}
    fields |= {"not_before": DAYS[0], "expires": DAYS[2]}
    bootstrap = from_file(Path("s.yaml"), sidecar_text({"ledger": {"budget.ratio": 0.4}}).encode(), [])
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)

    snapshot = compiled(bootstrap, Delivery("p.yaml", policy_text([], {}, [fields]).encode()), [], noon)

    assert in_force(snapshot, "ledger", "budget.ratio") == 0.4 == allowed([fields], [], "ledger", "budget.ratio", noon)
    assert in_force(snapshot.at(noon + timedelta(days=9)), "ledger", "budget.ratio") == 0.1
