"""The ledger: its table of transitions, and the law that on at_most_once each key is run at most once."""

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import structs

from sidecar.idempotency.ledger import (
    Applied,
    Complete,
    Doubt,
    Erase,
    Event,
    KeyClaim,
    LedgerRuling,
    Release,
    Renew,
    Resolve,
    apply,
)
from sidecar.idempotency.record import TOMBSTONE, KeyRecord, KeyState

LEASE = 30.0
RETENTION = 3600.0


def claim(fence: bytes = b"a" * 16, fingerprint: bytes = b"\x01same", **more: bool) -> KeyClaim:
    return KeyClaim(fence, fingerprint, LEASE, RETENTION, **more)


def granted(now: float = 0.0, **more: bool) -> KeyRecord:
    record = apply(None, claim(**more), now).record
    assert record is not None
    return record


def after(record: KeyRecord | None, event: Event, now: float) -> KeyRecord:
    applied = apply(record, event, now)
    assert applied.changed
    assert applied.record is not None
    return applied.record


def test_a_new_key_is_granted() -> None:
    applied = apply(None, claim(), 5.0)

    assert applied.ruling is LedgerRuling.GRANTED
    assert applied.record is not None
    assert (applied.record.state, applied.record.at) == (KeyState.IN_FLIGHT, 5.0)


def test_the_same_claim_is_granted_again_when_its_answer_was_lost() -> None:
    record = granted()

    assert apply(record, claim(), 1.0) == Applied(LedgerRuling.GRANTED, record)


def test_a_second_claim_finds_the_first_in_flight() -> None:
    assert apply(granted(), claim(b"b" * 16), 29.9).ruling is LedgerRuling.IN_FLIGHT


@pytest.mark.parametrize("state", ["in_flight", "completed", "unknown", "lapsed"])
def test_another_request_with_the_key_is_refused_before_anything_else(state: str) -> None:
    record = granted()
    if state == "completed":
        record = after(record, Complete(record, 201, b"x"), 1.0)
    if state == "unknown":
        record = after(record, Doubt(record, "reset"), 1.0)

    applied = apply(record, claim(b"b" * 16, b"\x01other"), 60.0 if state == "lapsed" else 2.0)

    assert applied.ruling is LedgerRuling.KEY_REUSED


def test_fingerprints_of_different_versions_are_not_compared() -> None:
    assert apply(granted(), claim(b"b" * 16, b"\x02other"), 1.0).ruling is LedgerRuling.IN_FLIGHT


def test_a_completed_key_is_replayed_until_retention_is_over() -> None:
    record = after(granted(), Complete(granted(), 201, b"answer"), 10.0)

    assert apply(record, claim(b"b" * 16), 10.0 + RETENTION - 0.1) == Applied(LedgerRuling.REPLAY, record)
    assert apply(record, claim(b"b" * 16), 10.0 + RETENTION).ruling is LedgerRuling.GRANTED


def test_a_key_that_rejects_is_expired_when_retention_is_over_and_for_ever() -> None:
    held = granted(rejects=True)
    record = after(held, Complete(held, 201, b"answer"), 10.0)

    assert apply(record, claim(b"b" * 16), 10.0 + RETENTION) == Applied(LedgerRuling.KEY_EXPIRED, TOMBSTONE)
    assert apply(TOMBSTONE, claim(b"b" * 16), 1e12).ruling is LedgerRuling.KEY_EXPIRED


def test_a_released_key_is_granted_to_any_request() -> None:
    record = after(granted(), Release(granted(), "connect_failure"), 1.0)

    assert apply(record, claim(b"b" * 16, b"\x01other"), 2.0).ruling is LedgerRuling.GRANTED


def test_a_lapsed_lease_is_an_unknown_outcome_as_of_its_lapse() -> None:
    applied = apply(granted(), claim(b"b" * 16), 100.0)

    assert applied.ruling is LedgerRuling.OUTCOME_UNKNOWN
    assert applied.record is not None
    assert (applied.record.state, applied.record.at) == (KeyState.UNKNOWN, LEASE)


def test_reexecute_ok_takes_over_a_lapsed_lease_and_an_unknown_outcome() -> None:
    other = claim(b"b" * 16, takes_over=True)

    assert apply(granted(), other, 29.0).ruling is LedgerRuling.IN_FLIGHT
    assert apply(granted(), other, 30.0).ruling is LedgerRuling.GRANTED
    assert apply(after(granted(), Doubt(granted(), "reset"), 1.0), other, 2.0).ruling is LedgerRuling.GRANTED


@pytest.mark.parametrize("event", [Complete, Release, Doubt, Renew])
def test_who_was_superseded_changes_nothing(event: type) -> None:
    held = granted()
    record = after(held, claim(b"b" * 16, takes_over=True), 40.0)
    ends = {
        Complete: Complete(held, 201, b"late"),
        Release: Release(held, "late"),
        Doubt: Doubt(held, "late"),
        Renew: Renew(held),
    }

    assert apply(record, ends[event], 41.0) == Applied(LedgerRuling.SUPERSEDED, record)


def test_a_late_completion_counts_while_nobody_has_taken_over() -> None:
    held = granted()
    record = after(held, claim(b"b" * 16), 100.0)

    late = after(record, Complete(held, 201, b"late"), 200.0)

    assert (late.state, late.answer) == (KeyState.COMPLETED, b"late")


def test_a_completion_told_twice_is_one() -> None:
    held = granted()
    record = after(held, Complete(held, 201, b"x"), 1.0)

    assert apply(record, Complete(held, 201, b"x"), 2.0) == Applied(LedgerRuling.DONE, record)


def test_a_completed_key_is_neither_released_nor_doubted_nor_resolved() -> None:
    held = granted()
    record = after(held, Complete(held, 201, b"x"), 1.0)

    for event in (Release(held, "x"), Doubt(held, "x"), Resolve(applied=False, by="a.lee", why="ticket")):
        assert apply(record, event, 2.0) == Applied(LedgerRuling.SUPERSEDED, record)


def test_a_renewal_moves_the_lease() -> None:
    held = granted()
    record = after(held, Renew(held), 20.0)

    assert not record.lapsed(49.0)
    assert record.lapsed(50.0)
    assert record.version != held.version


def test_what_the_store_lost_is_written_again_by_its_holder() -> None:
    held = granted()

    assert after(None, Renew(held), 10.0).fence == held.fence
    assert after(None, Complete(held, 201, b"x"), 20.0).state is KeyState.COMPLETED


def test_a_clock_that_steps_back_ends_no_lease_and_no_retention() -> None:
    held = granted(now=1000.0)
    record = after(held, Complete(held, 201, b"x"), 500.0)

    assert record.at == 1000.0
    assert apply(record, claim(b"b" * 16), -1e9).ruling is LedgerRuling.REPLAY


def test_resolving_says_who_and_why_and_lets_the_key_go_on() -> None:
    held = granted()
    unknown = after(held, Doubt(held, "reset"), 1.0)

    applied = after(unknown, Resolve(applied=True, by="a.lee", why="PSP has it", status=201, answer=b"x"), 2.0)
    not_applied = after(unknown, Resolve(applied=False, by="a.lee", why="PSP has it not"), 2.0)

    assert apply(applied, claim(b"b" * 16), 3.0).ruling is LedgerRuling.REPLAY
    assert apply(not_applied, claim(b"b" * 16), 3.0).ruling is LedgerRuling.GRANTED
    assert (applied.journal.entries[-1].by, applied.journal.entries[-1].why) == ("a.lee", "PSP has it")


def test_what_is_in_flight_is_not_resolved_but_a_lapsed_lease_is() -> None:
    event = Resolve(applied=False, by="a.lee", why="ticket")

    assert apply(granted(), event, 29.0).ruling is LedgerRuling.SUPERSEDED
    assert apply(granted(), event, 30.0).ruling is LedgerRuling.DONE


def test_a_run_that_ends_after_it_was_resolved_as_not_applied_was_applied() -> None:
    held = granted()
    record = after(held, Resolve(applied=False, by="a.lee", why="ticket"), 40.0)

    assert after(record, Complete(held, 201, b"x"), 41.0).state is KeyState.COMPLETED


def test_an_erased_key_keeps_its_state_and_none_of_its_contents() -> None:
    held = structs.replace(granted(), scope=b"tenant")
    unknown = after(held, Doubt(held, "reset"), 1.0)
    record = after(unknown, Resolve(applied=True, by="a.lee", why="secret", status=201, answer=b"secret"), 2.0)

    erased = after(record, Erase(), 3.0)

    assert (erased.state, erased.answer, erased.scope) == (KeyState.COMPLETED, b"", b"")
    assert not any(entry.why or entry.by for entry in erased.journal.entries)
    assert erased.journal.intact
    assert apply(erased, claim(b"b" * 16), 4.0).ruling is LedgerRuling.REPLAY


class Run:
    """Somebody who was granted a key and runs it: whether the effect has happened, and whether he is still there."""

    def __init__(self, held: KeyRecord, claimed_at: float) -> None:
        self.held = held
        self.claimed_at = claimed_at
        self.effect_at: float | None = None
        self.settled = False
        self.alive = True
        self.end: Event | None = None


class OneKey(RuleBasedStateMachine):
    """Interleaved callers of one key, with crashes, lapses, late ends, a clock that steps, and the end of retention.

    `rejects` keeps a tombstone, so that there is at most one effect for ever; else there is one in any retention.
    """

    takes_over = False

    def __init__(self) -> None:
        super().__init__()
        self.record: KeyRecord | None = None
        self.now = 1000.0
        self.runs: list[Run] = []
        self.effects: list[Run] = []
        self.answers: set[bytes] = set()
        self.numbers = itertools.count(1)
        self.rejects = True

    def _apply(self, event: Event) -> Applied:
        applied = apply(self.record, event, self.now)
        if applied.changed:
            self.record = applied.record
        return applied

    def _some(self, number: int, runs: list[Run]) -> Run:
        return runs[number % len(runs)]

    @property
    def going(self) -> list[Run]:
        return [run for run in self.runs if run.alive and not run.settled]

    @rule(lost=st.booleans())
    def a_caller_claims(self, lost: bool) -> None:
        fence = next(self.numbers).to_bytes(16, "big")
        event = KeyClaim(fence, b"\x01same", LEASE, RETENTION, rejects=self.rejects, takes_over=self.takes_over)
        applied = self._apply(event)
        if lost and applied.ruling is LedgerRuling.GRANTED:
            applied = self._apply(event)  # the answer of the store was lost: asked again
            assert applied.ruling is LedgerRuling.GRANTED
        if applied.ruling is LedgerRuling.GRANTED:
            assert applied.record is not None
            self.runs.append(Run(applied.record, self.now))
        elif applied.ruling is LedgerRuling.REPLAY:
            assert applied.record is not None
            assert applied.record.answer in self.answers

    @precondition(lambda self: self.going)
    @rule(number=st.integers(0, 99))
    def the_service_runs_it(self, number: int) -> None:
        run = self._some(number, self.going)
        if run.effect_at is None:
            run.effect_at = self.now
            self.effects.append(run)

    @precondition(lambda self: self.going)
    @rule(number=st.integers(0, 99))
    def a_run_ends(self, number: int) -> None:
        run = self._some(number, self.going)
        run.settled = True
        run.end = Release(run.held, "connect_failure")
        if run.effect_at is not None:
            self.answers.add(run.held.fence)
            run.end = Complete(run.held, 201, run.held.fence)
        self._apply(run.end)

    @precondition(lambda self: self.going)
    @rule(number=st.integers(0, 99))
    def a_run_ends_in_doubt(self, number: int) -> None:
        run = self._some(number, self.going)
        run.settled = True
        run.alive = False
        run.end = Doubt(run.held, "reset", 502, b"error")
        self._apply(run.end)

    @precondition(lambda self: any(run.end is not None for run in self.runs))
    @rule(number=st.integers(0, 99))
    def a_message_arrives_again(self, number: int) -> None:
        run = self._some(number, [run for run in self.runs if run.end is not None])
        assert run.end is not None
        self._apply(run.end)

    @precondition(lambda self: self.going)
    @rule(number=st.integers(0, 99))
    def a_run_renews(self, number: int) -> None:
        run = self._some(number, self.going)
        applied = self._apply(Renew(run.held))
        if applied.ruling is LedgerRuling.DONE:
            assert applied.record is not None
            run.held = applied.record

    @precondition(lambda self: self.going)
    @rule(number=st.integers(0, 99))
    def a_sidecar_crashes(self, number: int) -> None:
        self._some(number, self.going).alive = False

    @precondition(lambda self: not self.going)
    @rule()
    def somebody_finds_out_what_happened(self) -> None:
        applied = bool(self.effects)
        answer = b"resolved"
        self.answers.add(answer)
        self._apply(Resolve(applied=applied, by="a.lee", why="ticket", status=200, answer=answer))

    @rule()
    def somebody_erases_it(self) -> None:
        self.answers.add(b"")
        self._apply(Erase())

    @rule(seconds=st.sampled_from([0.0, 1.0, LEASE / 3, LEASE, LEASE + 1, RETENTION / 2, RETENTION, 3 * RETENTION]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(seconds=st.sampled_from([1.0, LEASE, RETENTION]))
    def the_clock_steps_back(self, seconds: float) -> None:
        self.now -= seconds

    @invariant()
    def it_was_run_at_most_once(self) -> None:
        assert len(self.effects) <= 1

    @invariant()
    def its_journal_is_intact(self) -> None:
        assert self.record is None or self.record.journal.intact


class OneKeyThatIsForgotten(OneKey):
    """`after_retention: new`: two runs of one key that have an effect are a retention apart."""

    def __init__(self) -> None:
        super().__init__()
        self.rejects = False
        self.latest = self.now

    @rule(seconds=st.sampled_from([1.0, LEASE, RETENTION]))
    def the_clock_steps_back(self, seconds: float) -> None:
        del seconds

    @precondition(lambda self: not self.going)
    @rule()
    def somebody_finds_out_what_happened(self) -> None:
        self._apply(Resolve(applied=True, by="a.lee", why="ticket", status=200, answer=b"resolved"))
        self.answers.add(b"resolved")

    @precondition(lambda self: self.going)
    @rule(number=st.integers(0, 99))
    def the_service_runs_it(self, number: int) -> None:
        run = self._some(number, self.going)
        if run.effect_at is None and self.now < run.claimed_at + RETENTION:  # an exchange is shorter than a retention
            run.effect_at = self.now
            self.effects.append(run)

    @invariant()
    def it_was_run_at_most_once(self) -> None:
        for before, behind in itertools.pairwise(sorted(self.effects, key=lambda run: run.claimed_at)):
            assert behind.claimed_at >= before.claimed_at + RETENTION


TestOneKey = OneKey.TestCase
TestOneKey.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestOneKeyThatIsForgotten = OneKeyThatIsForgotten.TestCase
TestOneKeyThatIsForgotten.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
