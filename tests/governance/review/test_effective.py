from datetime import UTC, datetime
from pathlib import Path

from sidecar.governance.documents.finding import Finding
from sidecar.governance.policy.bootstrap import Bootstrap, from_file
from sidecar.governance.policy.delivery import Delivery
from sidecar.governance.policy.platform_policy import Platform
from sidecar.governance.review.effective import ServiceEffect, effects
from tests.fakes.documents import EXCEPTION, NOW, OVERRIDE, POLICY, SIDECAR

LEDGER = '  ledger:\n    endpoints: ["http://ledger:80"]\n'


def platform(name: str, text: str) -> Platform:
    findings: list[Finding] = []
    read = Platform.read(Delivery(name, text.encode()), findings)
    assert findings == []
    return read


def service(text: str, name: str = "checkout.yaml") -> Bootstrap:
    return from_file(Path(name), text.encode(), [])


def stepped(old: str, new: str, *services: str, now: datetime = NOW) -> list[ServiceEffect]:
    before, after = platform("old.yaml", old), platform("new.yaml", new)
    return list(effects(before, after, [service(text) for text in services], now))


def told(effect: ServiceEffect) -> list[tuple[str, str, str, str, str, str]]:
    return [(c.effect.value, c.destination, c.setting, c.before, c.after, c.place) for c in effect.changes]


def test_a_default_reaches_only_those_who_do_not_ask_for_another_number() -> None:
    asked = SIDECAR + "    overrides: {timeout: 3s}\n" + LEDGER

    (effect,) = stepped(POLICY, POLICY + "defaults: {timeout: 8s}\n", asked)

    assert (effect.service, effect.file, effect.destinations) == ("checkout", "checkout.yaml", 2)
    assert told(effect) == [("tightens", "ledger", "timeout", "1m", "8s", "new.yaml:3")]


def test_a_number_that_lost_its_word_is_told_with_what_is_below_it() -> None:
    (effect,) = stepped(POLICY + "destinations: {payments: {budget: {ratio: 0.05}}}\n", POLICY, SIDECAR)

    assert told(effect) == [("loosens", "payments", "budget.ratio", "0.05", "0.1", "built in")]


def test_an_exception_moves_the_number_of_its_service_and_nobody_elses() -> None:
    ours, theirs = SIDECAR + "    overrides: {budget: {ratio: 0.2}}\n", SIDECAR.replace("checkout", "billing")
    wider = POLICY + "guardrails: {budget.ratio: {max: 0.2}}\ndefaults: {budget: {ratio: 0.05}}\n"

    checkout, billing = stepped(POLICY, wider, ours, theirs)

    assert told(checkout) == []
    assert told(billing) == [("tightens", "payments", "budget.ratio", "0.1", "0.05", "new.yaml:4")]


def test_an_exception_that_is_taken_away_makes_its_service_refuse() -> None:
    (effect,) = stepped(POLICY + EXCEPTION, POLICY, SIDECAR + OVERRIDE)

    assert [(finding.line, finding.rule) for finding in effect.refused] == [
        (7, "must be at most 0.2 (guardrail, built in)")
    ]
    assert not effect.refused_before
    assert effect.changes == ()


def test_an_exception_that_is_given_ends_a_refusal() -> None:
    (effect,) = stepped(POLICY, POLICY + EXCEPTION, SIDECAR + OVERRIDE)

    assert (effect.refused_before, effect.refused) == (True, ())


def test_what_is_in_force_is_asked_of_the_day() -> None:
    later = EXCEPTION.replace("2026-12-05", "2027-01-05")
    over = datetime(2026, 12, 10, tzinfo=UTC)

    today, then = (stepped(POLICY + EXCEPTION, POLICY + later, SIDECAR + OVERRIDE, now=now)[0] for now in (NOW, over))

    assert told(today) == []
    assert told(then) == [("loosens", "payments", "budget.ratio", "0.1", "0.35", "checkout.yaml:7")]


def test_the_way_to_the_service_is_one_of_its_destinations() -> None:
    ingress = 'ingress: {listen: "0.0.0.0:16006", app: "http://127.0.0.1:8080"}\n'

    (effect,) = stepped(POLICY, POLICY + "destinations: {ingress: {timeout: 30s}}\n", SIDECAR + ingress)

    assert told(effect) == [("tightens", "ingress", "timeout", "5m", "30s", "new.yaml:3")]
