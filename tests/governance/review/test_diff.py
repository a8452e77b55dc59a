from datetime import UTC, datetime

import pytest

from sidecar.engine.policy import LimitKind
from sidecar.governance.documents.finding import Finding
from sidecar.governance.documents.units import Duration
from sidecar.governance.policy.delivery import Delivery
from sidecar.governance.policy.platform_policy import Platform
from sidecar.governance.review.diff import Comparison, Effect, compare, effect_of
from tests.fakes.documents import EXCEPTION, NOW, POLICY

AFTER = datetime(2026, 12, 5, tzinfo=UTC)
NEXT = POLICY.replace("version: 7", "version: 8")


def read(text: str) -> Platform:
    findings: list[Finding] = []
    platform = Platform.read(Delivery("new.yaml", text.encode()), findings)
    assert findings == []
    return platform


def compared(old: str, new: str, now: datetime = NOW) -> Comparison:
    return compare(read(old), read(new), now)


def told(comparison: Comparison) -> list[tuple[str, str, str | None, str | None, str]]:
    return [(c.effect.value, c.field, c.before, c.after, c.whom) for c in comparison.changes]


@pytest.mark.parametrize(
    ("setting", "before", "after", "effect"),
    [
        ("budget.ratio", 0.1, 0.2, Effect.LOOSENS),
        ("budget.ratio", 0.2, 0.1, Effect.TIGHTENS),
        ("retry.backoff.base", Duration(1), Duration(0.5), Effect.LOOSENS),
        ("breaker.open", Duration(1), Duration(2), Effect.TIGHTENS),
        ("budget.window", Duration(10), Duration(20), Effect.CHANGES),
        ("retry.statuses", frozenset({503}), frozenset({502, 503}), Effect.LOOSENS),
        ("retry.statuses", frozenset({502, 503}), frozenset({503}), Effect.TIGHTENS),
        ("retry.statuses", frozenset({429, 503}), frozenset({502, 503}), Effect.LOOSENS),
        ("breaker.statuses", frozenset({500, 503}), frozenset({503}), Effect.LOOSENS),
        ("retry.retry_after.honour", True, False, Effect.LOOSENS),
        ("concurrency.limit", LimitKind.ADAPTIVE, LimitKind.FIXED, Effect.LOOSENS),
        ("tls.verify", True, False, Effect.LOOSENS),
    ],
)
def test_looser_is_what_lets_more_load_or_less_care_through(
    setting: str, before: object, after: object, effect: Effect
) -> None:
    assert effect_of(setting, before, after) is effect


def test_nothing_changed_is_no_change() -> None:
    assert compared(POLICY, POLICY) == Comparison(7, 7, (), ())


def test_a_default_is_for_every_service_and_a_destination_for_those_that_call_it() -> None:
    comparison = compared(
        POLICY,
        NEXT + "defaults: {budget: {ratio: 0.15}}\ndestinations: {ledger: {timeout: 4s, budget: {ratio: 0.05}}}\n",
    )

    assert told(comparison) == [
        ("loosens", "defaults.budget.ratio", "0.1", "0.15", "every service"),
        ("tightens", "destinations.ledger.timeout", "1m", "4s", "every service that calls ledger"),
        ("tightens", "destinations.ledger.budget.ratio", "0.1", "0.05", "every service that calls ledger"),
    ]
    assert [change.line for change in comparison.changes] == [3, 4, 4]


def test_what_a_destination_only_inherits_is_told_once() -> None:
    both = "destinations: {ledger: {timeout: 4s}}\n"

    comparison = compared(POLICY + both, NEXT + "defaults: {budget: {ratio: 0.05}}\n" + both)

    assert [change.field for change in comparison.changes] == ["defaults.budget.ratio"]


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        ("{max: 0.2}", "{max: 0.3}", "loosens"),
        ("{max: 0.3}", "{max: 0.2}", "tightens"),
        ("{max: 0.2, ceiling: 0.3}", "{max: 0.2, ceiling: 0.4}", "loosens"),
        ("{max: 0.2, level: hard}", "{max: 0.2}", "loosens"),
        ("{max: 0.2}", "{max: 0.2, level: hard}", "tightens"),
        ("{fixed: true}", "{max: 0.2}", "loosens"),
        ("{max: 0.2}", "{fixed: true}", "tightens"),
        ("{min: 0.05, max: 0.2}", "{min: 0.01, max: 0.2}", "loosens"),
        ("{max: 0.2}", "{min: 0.05, max: 0.2}", "tightens"),
    ],
)
def test_a_guardrail_that_lets_more_past_is_looser(before: str, after: str, effect: str) -> None:
    comparison = compared(
        POLICY + f"guardrails: {{budget.ratio: {before}}}\n", NEXT + f"guardrails: {{budget.ratio: {after}}}\n"
    )

    assert [(change.effect.value, change.field) for change in comparison.changes] == [
        (effect, "guardrails.budget.ratio")
    ]


def test_a_guardrail_that_comes_tightens_and_one_that_goes_loosens() -> None:
    guarded = "guardrails: {timeout: {max: 90s}}\n"

    assert told(compared(POLICY, NEXT + guarded)) == [
        ("tightens", "guardrails.timeout", None, "{max: 90s}", "every service")
    ]
    assert told(compared(POLICY + guarded, NEXT))[0][0] == "loosens"


def test_what_is_only_and_may_be_more_is_looser() -> None:
    asked = "defaults: {retry: {statuses: [503]}}\n"
    before = asked + "guardrails: {retry.statuses: {only: [503]}}\n"
    after = asked + "guardrails: {retry.statuses: {only: [502, 503]}}\n"

    assert told(compared(POLICY + before, NEXT + after))[0][0] == "loosens"
    assert told(compared(POLICY + after, NEXT + before))[0][0] == "tightens"


def test_an_exception_loosens_for_its_services_and_tightens_when_it_goes() -> None:
    said = "budget.ratio to 0.35 for payments, 2026-11-24 to 2026-12-05"

    assert told(compared(POLICY, NEXT + EXCEPTION)) == [("loosens", "exceptions.EX-1", None, said, "checkout")]
    assert told(compared(POLICY + EXCEPTION, NEXT)) == [("tightens", "exceptions.EX-1", said, None, "checkout")]
    assert told(compared(POLICY + EXCEPTION, NEXT, AFTER))[0][0] == "changes"


@pytest.mark.parametrize(
    ("older", "newer", "effect"),
    [
        ("value: 0.35", "value: 0.4", "loosens"),
        ("value: 0.35", "value: 0.3", "tightens"),
        ("expires: 2026-12-05", "expires: 2026-12-06", "loosens"),
        ("expires: 2026-12-05", "expires: 2026-12-04", "tightens"),
        ("not_before: 2026-11-24", "not_before: 2026-11-23", "loosens"),
        ("service: checkout", "services: [billing, checkout]", "loosens"),
        ("destination: payments", "destination: ledger", "loosens"),
        ("ticket: PAY-812", "ticket: PAY-813", "changes"),
    ],
)
def test_an_exception_that_goes_further_or_lasts_longer_is_looser(older: str, newer: str, effect: str) -> None:
    comparison = compared(POLICY + EXCEPTION, NEXT + EXCEPTION.replace(older, newer))

    assert [change.effect.value for change in comparison.changes] == [effect]


def test_limits_and_the_rest_are_compared() -> None:
    comparison = compared(
        POLICY, NEXT.replace("platform", "sre") + "limits: {headers: 200, body_bytes: 1MiB}\nvia: false\n"
    )

    assert [(c.effect.value, c.field, c.before, c.after) for c in comparison.changes] == [
        ("loosens", "limits.headers", "100", "200"),
        ("tightens", "limits.body_bytes", "off", "1MiB"),
        ("changes", "owner", "platform", "sre"),
        ("changes", "via", "true", "false"),
    ]


LOOSER_POLICY = "defaults: {budget: {ratio: 0.15}}\n"


def test_a_loosening_without_a_rise_of_version_is_a_finding_at_its_line() -> None:
    comparison = compared(POLICY, POLICY + LOOSER_POLICY)

    rule = "must rise: the policy is loosened, and 7 was its version before"
    assert list(map(str, comparison.findings)) == [f"new.yaml:1: version: {rule}, got 7"]


def test_a_loosening_with_a_rise_and_a_tightening_without_one_are_none() -> None:
    assert compared(POLICY, NEXT + LOOSER_POLICY).findings == ()
    assert compared(POLICY + LOOSER_POLICY, POLICY).findings == ()


def test_a_version_never_falls() -> None:
    comparison = compared(NEXT, POLICY)

    assert [finding.rule for finding in comparison.findings] == [
        "must rise: it was 8, and a lower version is refused as a rollback"
    ]


WATCHED = "rollout: {percent: 5, abort_when: {amplification: 1.2, min_requests: 50}}\n"


@pytest.mark.parametrize(
    ("after", "change"),
    [
        (
            "rollout: {percent: 5}\n",
            ("loosens", "rollout.abort_when", "1.2 over 1m, from 50 requests on", None),
        ),
        (WATCHED.replace("1.2", "2"), ("loosens", "rollout.abort_when.amplification", "1.2", "2.0")),
        (WATCHED.replace("50", "10"), ("tightens", "rollout.abort_when.min_requests", "50", "10")),
        (WATCHED.replace("50", "50, window: 2m"), ("changes", "rollout.abort_when.window", "1m", "2m")),
    ],
)
def test_when_a_version_is_given_up_by_itself_is_a_matter_of_looseness_too(
    after: str, change: tuple[str, str, str, str | None]
) -> None:
    comparison = compared(POLICY + WATCHED, NEXT + after)

    assert told(comparison) == [(*change, "every service")]


def test_an_end_of_the_rollout_is_no_loss_of_its_condition() -> None:
    assert told(compared(POLICY + WATCHED, NEXT)) == [("changes", "rollout.percent", "5", None, "every service")]


def test_a_jump_to_where_no_version_could_follow_is_refused() -> None:
    comparison = compared(POLICY, POLICY.replace("version: 7", f"version: {2**53 - 1}"))

    assert [finding.rule.rpartition(": ")[2] for finding in comparison.findings] == ["nothing could ever follow it"]
