from datetime import UTC, datetime
from pathlib import Path

import pytest

from sidecar.governance.review.check import Candidate, DocumentKind, Judgement, judge, kind_of
from tests.fakes.documents import EXCEPTION, NOW, OVERRIDE, POLICY, SIDECAR

AFTER = datetime(2026, 12, 5, tzinfo=UTC)


def judged(now: datetime = NOW, elsewhere: dict[str, str] | None = None, **texts: str) -> Judgement:
    """Of files by their names without `.yaml`; `elsewhere` are files that are there and were not given."""
    candidates = [Candidate(f"{name}.yaml", text.encode()) for name, text in texts.items()]
    there = {Path(name): text.encode() for name, text in (elsewhere or {}).items()}
    return judge(candidates, there.get, now)


def notes(judgement: Judgement) -> list[str]:
    return [str(note) for note in judgement.notes]


def findings(judgement: Judgement) -> list[str]:
    return [str(finding) for finding in judgement.findings]


@pytest.mark.parametrize(
    ("text", "name", "kind"),
    [
        (POLICY, "any.yaml", DocumentKind.POLICY),
        (SIDECAR, "any.yaml", DocumentKind.SIDECAR),
        ("destinations: {}\n", "policy.yaml", DocumentKind.POLICY),
        ("destinations: {}\n", "checkout-sidecar.yaml", DocumentKind.SIDECAR),
        ("", "sidecar.yaml", DocumentKind.SIDECAR),
        ("{", "policy.yaml", DocumentKind.POLICY),
        ("[1, 2]\n", "policy.yaml", DocumentKind.OTHER),
        ("apiVersion: v1\nkind: Pod\n", "policy.yaml", DocumentKind.OTHER),
    ],
)
def test_a_file_is_what_its_keys_say_and_its_name_where_they_say_nothing(
    text: str, name: str, kind: DocumentKind
) -> None:
    assert kind_of(Candidate(name, text.encode())) is kind


def test_what_only_lay_in_a_directory_has_to_be_mostly_ours() -> None:
    other = b"version: 2\nservices: {}\nnetworks: {}\n"

    assert kind_of(Candidate("compose.yaml", other, named=False)) is DocumentKind.OTHER
    assert kind_of(Candidate("compose.yaml", other)) is DocumentKind.POLICY
    assert kind_of(Candidate("p.yaml", b"version: 2\nowner: o\ndefualts: {}\n", named=False)) is DocumentKind.POLICY


def test_sound_documents_are_listed_with_what_they_were_judged_by() -> None:
    judgement = judged(policy=POLICY, sidecar=SIDECAR)

    assert (judgement.findings, judgement.notes) == ((), ())
    assert [(d.file, d.summary, d.against) for d in judgement.documents] == [
        ("policy.yaml", "policy, version 7 of platform, no exceptions", None),
        ("sidecar.yaml", "sidecar file of checkout, 1 destination", "policy.yaml"),
    ]


def test_an_override_is_judged_by_the_only_policy_that_was_given_wherever_the_file_says_it_is() -> None:
    tight = POLICY + "guardrails: {budget.ratio: {max: 0.05}}\ndefaults: {budget: {ratio: 0.05}}\n"
    sidecar = (
        SIDECAR.replace("file: policy.yaml", "file: /etc/sidecar/policy.yaml")
        + "    overrides: {budget: {ratio: 0.1}}\n"
    )

    rule = "must be at most 0.05 (guardrail, fleet.yaml:3)"
    assert findings(judged(fleet=tight, sidecar=sidecar)) == [
        f"sidecar.yaml:6: destinations.payments.overrides.budget.ratio: {rule}, got 0.1"
    ]


def test_of_several_policies_the_one_that_is_named_counts() -> None:
    judgement = judged(policy=POLICY + EXCEPTION, other=POLICY, sidecar=SIDECAR + OVERRIDE)

    assert judgement.findings == ()
    assert judgement.documents[2].against == "policy.yaml"


def test_a_policy_that_was_not_given_is_read_where_the_sidecar_file_names_it() -> None:
    judgement = judged(sidecar=SIDECAR + OVERRIDE, elsewhere={"policy.yaml": POLICY + EXCEPTION})

    assert judgement.findings == ()
    assert judgement.documents[0].against == "policy.yaml"


def test_a_policy_that_is_nowhere_is_told_and_the_built_in_guardrails_hold() -> None:
    judgement = judged(sidecar=SIDECAR + OVERRIDE)

    assert len(judgement.findings) == 1
    assert notes(judged(sidecar=SIDECAR)) == [
        "sidecar.yaml:2: policy: overrides are judged by the built-in guardrails only: there is no policy.yaml here"
    ]


def test_the_same_mistake_is_found_once_however_many_services_meet_it() -> None:
    wrong = POLICY + "defaults: {timeout: 5}\n"

    judgement = judged(policy=wrong, sidecar=SIDECAR, other=SIDECAR.replace("checkout", "billing"))

    assert len(judgement.findings) == 1


def test_findings_of_all_files_come_in_the_order_of_files_and_lines() -> None:
    judgement = judged(policy="version: x\nowner: 1\n", sidecar="drain: 1\nservice: '*'\n")

    assert [(finding.file, finding.line) for finding in judgement.findings] == [
        ("policy.yaml", 1),
        ("policy.yaml", 2),
        ("sidecar.yaml", 1),
        ("sidecar.yaml", 2),
    ]


def test_an_exception_that_is_over_is_a_note_until_somebody_needs_it() -> None:
    alone = judged(AFTER, policy=POLICY + EXCEPTION)
    needed = judged(AFTER, policy=POLICY + EXCEPTION, sidecar=SIDECAR + OVERRIDE)

    assert alone.findings == ()
    assert notes(alone) == ["policy.yaml:4: exceptions[0] (EX-1): is over since 2026-12-05: take it out"]
    assert len(needed.findings) == 1


@pytest.mark.parametrize(
    ("now", "note"),
    [
        (datetime(2026, 11, 1, tzinfo=UTC), "is not live before 2026-11-24"),
        (datetime(2026, 11, 28, tzinfo=UTC), "ends in 7 days: the guardrail holds again from 2026-12-05"),
        (datetime(2026, 12, 4, 18, tzinfo=UTC), "ends in 6 hours: the guardrail holds again from 2026-12-05"),
    ],
)
def test_an_exception_that_comes_or_goes_is_noted(now: datetime, note: str) -> None:
    assert notes(judged(now, policy=POLICY + EXCEPTION)) == [f"policy.yaml:4: exceptions[0] (EX-1): {note}"]


def test_an_exception_that_nobody_uses_or_needs_is_noted() -> None:
    unused = judged(policy=POLICY + EXCEPTION, sidecar=SIDECAR)
    needless = judged(policy=POLICY + EXCEPTION.replace("value: 0.35", "value: 0.15"))

    assert notes(unused) == [
        "policy.yaml:4: exceptions[0] (EX-1): is not used: checkout asks for nothing past the guardrail"
    ]
    assert notes(needless) == [
        "policy.yaml:4: exceptions[0] (EX-1): passes no guardrail: budget.ratio may be 0.15 without it"
    ]


def test_an_override_that_waits_for_its_exception_is_noted_at_its_line() -> None:
    judgement = judged(datetime(2026, 11, 1, tzinfo=UTC), policy=POLICY + EXCEPTION, sidecar=SIDECAR + OVERRIDE)

    assert judgement.findings == ()
    assert [(note.file, note.line) for note in judgement.notes] == [("policy.yaml", 4), ("sidecar.yaml", 7)]


@pytest.mark.parametrize(
    ("day", "told"),
    [
        (datetime(2026, 11, 27, 12, tzinfo=UTC), []),
        (datetime(2026, 11, 28, tzinfo=UTC), ["ends in 7 days: publish its successor before"]),
        (datetime(2026, 12, 4, 23, tzinfo=UTC), ["ends in 1 hour: publish its successor before"]),
        (AFTER, ["is past since 2026-12-05: sidecars keep the policy and alarm; publish its successor"]),
    ],
)
def test_a_policy_near_its_own_end_is_a_note_and_no_finding(day: datetime, told: list[str]) -> None:
    judgement = judged(day, policy=POLICY + "expires: 2026-12-05\n")

    assert judgement.findings == ()
    assert notes(judgement) == [f"policy.yaml:3: expires: {rule}" for rule in told]
    assert {note.rule_id for note in judgement.notes} <= {"policy-life"}


# Authorities


def judged_by_path(documents: dict[str, str], *, named: bool = True) -> Judgement:
    return judge([Candidate(name, text.encode(), named) for name, text in documents.items()], lambda _: None, NOW)


def test_a_sidecar_file_is_judged_under_the_authority_that_is_named() -> None:
    judgement = judged(authority="policy: {file: policy.yaml}\n", sidecar=SIDECAR, policy=POLICY)

    assert [str(finding) for finding in judgement.findings] == [
        "sidecar.yaml:2: policy: is not for the service to say: authority.yaml names the policy"
    ]
    assert judgement.documents[0].summary == "authority: the policy is policy.yaml, unsigned"


def test_an_authority_found_in_a_directory_is_over_what_is_beside_and_below_it() -> None:
    service = "service: checkout\n"
    documents = {
        "managed/authority.yaml": "policy: {file: policy.yaml}\n",
        "managed/policy.yaml": POLICY,
        "managed/deep/sidecar.yaml": service,
        "sidecar.yaml": SIDECAR,
        "policy.yaml": POLICY.replace("7", "8"),
    }

    judgement = judged_by_path(documents, named=False)

    against = {document.file: document.against for document in judgement.documents if document.against}
    assert judgement.findings == ()
    assert against == {"managed/deep/sidecar.yaml": "managed/policy.yaml", "sidecar.yaml": "policy.yaml"}


def test_an_authority_that_is_wrong_is_a_finding() -> None:
    judgement = judged(authority="policy: {fil: policy.yaml}\n")

    assert [finding.field for finding in judgement.findings] == ["policy.fil", "policy"]


@pytest.mark.parametrize(
    ("overrides", "noted"),
    [
        ("{timeout: 2s}", "per_attempt_timeout (2s, built in) is not below timeout (2s, sidecar.yaml:6)"),
        (
            "{per_attempt_timeout: 1m}",
            "per_attempt_timeout (1m, sidecar.yaml:6) is not below timeout (1m, built in)",
        ),
        ("{timeout: 2m}", "is raised to 2m without per_attempt_timeout (2s, built in)"),
    ],
)
def test_timeouts_that_make_healthy_answers_late_are_noted_at_their_line(overrides: str, noted: str) -> None:
    judgement = judged(policy=POLICY, sidecar=SIDECAR + f"    overrides: {overrides}\n")

    (note,) = [str(note) for note in judgement.notes]
    assert note.startswith("sidecar.yaml:6: ")
    assert noted in note


@pytest.mark.parametrize(
    "overrides", ["{timeout: 3s}", "{timeout: 20s, per_attempt_timeout: 5s}", "{budget: {ratio: 0.1}}"]
)
def test_timeouts_that_go_together_are_no_note(overrides: str) -> None:
    judgement = judged(policy=POLICY, sidecar=SIDECAR + f"    overrides: {overrides}\n")

    assert judgement.notes == ()


GATE = (Path(__file__).resolve().parents[3] / "config" / "gate.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["gate.yaml", "rules.yaml"])
def test_the_rules_of_the_gate_are_known_for_what_they_are(name: str) -> None:
    judgement = judge([Candidate(name, GATE.encode(), named=False)], lambda _: None, NOW)

    assert [judged.kind for judged in judgement.documents] == [DocumentKind.GATE]
    assert judgement.documents[0].summary.startswith("rules of the gate, version 1 of platform-reliability, 6 rules")
    assert (judgement.findings, judgement.notes) == ((), ())


def test_rules_of_the_gate_that_are_wrong_are_found() -> None:
    wrong = GATE.replace("accepts: [key]", "accepts: [magic]").encode()
    broken = b"rules: [\n"

    judgement = judge([Candidate("a/gate.yaml", wrong), Candidate("b/gate.yaml", broken)], lambda _: None, NOW)

    assert [finding.file for finding in judgement.findings] == ["a/gate.yaml", "b/gate.yaml"]


def test_an_exception_of_the_gate_that_is_over_is_noted() -> None:
    exception = """exceptions:
  - id: GX-1
    operation: createPayment
    reason: The acquirer dedupes by order number
    ticket: PAY-1
    owner: team-payments
    approved_by: [a.lee, b.ortiz]
    not_before: 2020-01-01
    expires: 2020-01-20
"""
    judgement = judge(
        [Candidate("gate.yaml", GATE.replace("exceptions: []\n", exception).encode())], lambda _: None, NOW
    )

    assert judgement.findings == ()
    assert [note.rule for note in judgement.notes] == ["is over since 2020-01-20: take it out"]


INGRESS = """\
service: checkout
ingress:
  listen: "127.0.0.1:16006"
  app: "http://127.0.0.1:8080"
  contract: {version: 3, digest: "%s"}
  idempotency: {store: {memory: volatile}}
  routes:
    - {name: pay, match: {methods: [POST], path: /pay}, class: at_most_once, retention: %s}
"""


def test_a_contract_that_changed_without_its_number_is_a_finding_until_both_are_written_anew() -> None:
    (told,) = findings(judged(sidecar=INGRESS % ("0" * 16, "24h")))
    digest = told.partition("must be ")[2][:16]

    assert told == (
        f"sidecar.yaml:5: ingress.contract.digest: must be {digest}, of the contract as it is now: raise version with "
        f"it, 3 stands for another, got {'0' * 16}"
    )
    assert findings(judged(sidecar=INGRESS % (digest, "24h"))) == []
    assert len(findings(judged(sidecar=INGRESS % (digest, "48h")))) == 1


def test_a_platform_that_changes_the_contract_of_a_service_is_told_of_it() -> None:
    policy = "version: 7\nowner: platform\n"
    sidecar = INGRESS.replace(", retention: %s", "")
    (told,) = findings(judged(policy=policy, sidecar=sidecar % ("0" * 16)))
    digest = told.partition("must be ")[2][:16]

    changed = policy + "defaults: {idempotency: {retention: 48h}}\n"

    assert findings(judged(policy=policy, sidecar=sidecar % digest)) == []
    assert len(findings(judged(policy=changed, sidecar=sidecar % digest))) == 1
