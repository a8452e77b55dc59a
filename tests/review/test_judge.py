from datetime import UTC, datetime, timedelta

import pytest

from sidecar.review.codeowners import code_owners
from sidecar.review.judge import Bench
from tests.review.descriptions import EXCEPTION, HEAD, NOW, judged, kinds, library, rules, texts

KEY = "{name: Idempotency-Key, in: header, required: true, schema: {type: string}}"
ANSWERS = '{"201": {description: Created}, "409": {description: Running}, "422": {description: Reused}}'


def payment(strategy: str = "{strategy: key, retention: 24h}", *, key: str = KEY, path: str = "/payments") -> str:
    declared = f"      x-idempotency: {strategy}\n" if strategy else ""
    return (
        f"{HEAD}paths:\n  {path}:\n    post:\n      operationId: createPayment\n{declared}"
        f"      parameters: [{key}]\n      responses: {ANSWERS}\n"
    )


NONE = payment("{strategy: none}")


def test_a_live_exception_lets_an_operation_be_without_a_strategy() -> None:
    assert kinds(judged(NONE, by=rules(EXCEPTION))) == []


@pytest.mark.parametrize(
    ("day", "said"),
    [
        (datetime(2026, 12, 10, tzinfo=UTC), "is over since 2026-12-10"),
        (datetime(2026, 11, 19, 23, tzinfo=UTC), "begins on 2026-11-20"),
    ],
)
def test_an_exception_lives_from_its_first_day_until_its_last(day: datetime, said: str) -> None:
    description = judged(NONE, by=rules(EXCEPTION), now=day)

    assert kinds(description) == ["exception-missing"]
    assert said in texts(description)[0]


@pytest.mark.parametrize("name", ["createPayment", "POST /payments"])
def test_an_exception_names_its_operation_by_id_or_by_key(name: str) -> None:
    assert kinds(judged(NONE, by=rules(EXCEPTION.replace("createPayment", name)))) == []


def test_an_exception_is_for_one_operation() -> None:
    assert kinds(judged(NONE, by=rules(EXCEPTION.replace("createPayment", "createRefund")))) == ["exception-missing"]


def test_an_exception_does_not_stand_for_the_declaration() -> None:
    assert kinds(judged(payment(""), by=rules(EXCEPTION))) == ["strategy-missing"]


def test_an_operation_that_names_another_exception_is_not_excused() -> None:
    text = payment("{strategy: none, exception: GX-9}")

    assert kinds(judged(text, by=rules(EXCEPTION))) == ["exception-missing"]


def test_an_exception_with_a_rule_is_for_that_rule_alone() -> None:
    by = rules(EXCEPTION.replace("    reason:", "    rule: key-retention\n    reason:"))

    assert kinds(judged(payment("{strategy: key, retention: 1h}"), by=by)) == []
    assert kinds(judged(payment("{strategy: key}", key="{name: x, in: query}"), by=by)) == ["key-parameter"]
    assert kinds(judged(NONE, by=by)) == ["exception-missing"]


def test_exceptions_that_are_over_or_for_nothing_are_noted() -> None:
    by = rules(EXCEPTION)
    bench = Bench(by, NOW + timedelta(days=10))
    soon = bench.judge(library({"api.yaml": NONE}), "/api.yaml")
    other = bench.judge(library({"api.yaml": payment(path="/refunds").replace("createPayment", "x")}), "/api.yaml")

    assert "the rule holds again from 2026-12-10" in str(bench.exception_notes([soon])[0].finding)
    assert bench.exception_notes([soon])[0].note
    assert "is for createPayment, which none of these" in str(Bench(by, NOW).exception_notes([other])[0].finding)
    assert "is over since" in str(Bench(by, NOW + timedelta(days=60)).exception_notes([soon])[0].finding)
    assert Bench(by, NOW).exception_notes([soon]) == []


def test_the_level_of_a_finding_is_the_gates_to_say() -> None:
    note = judged(payment("{strategy: key}"), by=rules(severities="{key-retention: note}"))
    off = judged(payment("{strategy: key}"), by=rules(severities="{key-retention: 'off'}"))

    assert [one.note for one in note.findings] == [True]
    assert note.errors == []
    assert off.findings == []


def test_a_baseline_leaves_out_what_it_has_already() -> None:
    old = payment("")
    new = old + "  /refunds: {post: {responses: {}}}\n"

    description = judged(new, before=old)

    assert [(one.kind, one.operation) for one in description.findings] == [
        ("strategy-missing", "POST /refunds"),
        ("review-missing", "POST /refunds"),
    ]


def test_without_a_baseline_nothing_is_new() -> None:
    assert kinds(judged(payment())) == []


def test_a_new_operation_needs_a_sign_off() -> None:
    signed = payment(
        "{strategy: key, retention: 24h, review: {by: a.lee, date: 2026-11-23, link: 'https://reviews.example/1'}}"
    )

    assert kinds(judged(payment(), before=HEAD + "paths: {}\n")) == ["review-missing"]
    assert kinds(judged(signed, before=HEAD + "paths: {}\n")) == []


@pytest.mark.parametrize(
    ("by", "date", "said"),
    [
        ("c.doe", "2026-11-23", "must be an owner of api.yaml in CODEOWNERS (@a.lee @org/payments)"),
        ("a.lee", "2026-11-25", "must not be in the future"),
    ],
)
def test_a_sign_off_is_by_an_owner_and_has_been(by: str, date: str, said: str) -> None:
    owners = code_owners("* @a.lee @org/payments\n", "CODEOWNERS")
    review = f"review: {{by: {by}, date: {date}, link: 'https://reviews.example/1'}}"

    description = judged(payment(f"{{strategy: key, retention: 24h, {review}}}"), owners=owners)

    assert kinds(description) == ["review-invalid"]
    assert said in texts(description)[0]


def test_a_file_without_owners_may_be_signed_by_anybody() -> None:
    owners = code_owners("/other/ @a.lee\n", "CODEOWNERS")
    review = "review: {by: c, date: 2026-11-23, link: 'https://reviews.example/1'}"

    assert kinds(judged(payment(f"{{strategy: key, retention: 24h, {review}}}"), owners=owners)) == []


@pytest.mark.parametrize("now", ["", "{strategy: none}"])
def test_a_removed_strategy_breaks_callers_whatever_the_surface(now: str) -> None:
    harmless = judged(
        payment(now, path="/x").replace("createPayment", "c"), before=payment(path="/x").replace("createPayment", "c")
    )

    assert kinds(judged(payment(now), before=payment())) == ["strategy-removed"]
    assert kinds(harmless) == ["strategy-removed"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("{strategy: key, retention: 48h}", "{strategy: key, retention: 24h}", "retention was 48h, is 24h"),
        (
            "{strategy: [key, ledger], retention: 24h, ledger: 'query:r'}",
            "{strategy: key, retention: 24h}",
            "ledger is gone",
        ),
        ("{strategy: key, retention: 24h}", "{strategy: key, retention: 24h, class: best_effort}", "class was"),
    ],
)
def test_a_weaker_strategy_breaks_callers(before: str, after: str, said: str) -> None:
    key = f"{KEY}, {{name: r, in: query, required: true}}"

    description = judged(payment(after, key=key), before=payment(before, key=key))

    assert kinds(description) == ["strategy-weakened"]
    assert said in texts(description)[0]


def test_a_stronger_strategy_breaks_nobody() -> None:
    before, after = payment(), payment("{strategy: key, retention: 48h, class: at_most_once}")

    assert kinds(judged(after, before=before)) == []


def test_a_required_key_that_becomes_optional_is_new() -> None:
    assert kinds(judged(payment(key=KEY.replace("true", "false")), before=payment())) == ["key-parameter"]


def test_what_can_not_be_read_is_not_judged() -> None:
    description = judged(payment(key="{$ref: 'gone.yaml#/Key'}"))

    assert description.operations == []
    assert [finding.rule_id for finding in description.unjudged] == ["unresolved"]


def test_every_finding_ends_with_its_page() -> None:
    (one,) = judged(payment("")).findings

    assert one.finding.rule.endswith("(docs/gate/strategy-missing.md)")
    assert one.finding.rule_id == "strategy-missing"
