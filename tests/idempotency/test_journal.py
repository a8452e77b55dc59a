"""Journals: an entry that was changed, taken out or put elsewhere is seen."""

from msgspec import structs

from sidecar.idempotency.journal import JOURNAL_CEILING, Journal


def three() -> Journal:
    journal = Journal().with_entry(1.0, "claimed").with_entry(2.0, "unknown", why="reset")
    return journal.with_entry(3.0, "resolved_applied", status=201, by="a.lee", why="PSP has it", salt=b"s" * 16)


def test_a_journal_as_it_was_written_is_intact() -> None:
    assert three().intact
    assert Journal().intact


def test_a_changed_entry_is_seen() -> None:
    journal = three()
    changed = structs.replace(journal.entries[2], by="b.ortiz")

    assert not structs.replace(journal, entries=(*journal.entries[:2], changed)).intact


def test_a_missing_entry_is_seen() -> None:
    journal = three()

    assert not structs.replace(journal, entries=(journal.entries[0], journal.entries[2])).intact
    assert not structs.replace(journal, entries=journal.entries[1:]).intact


def test_a_long_journal_drops_its_oldest_entries_and_stays_intact() -> None:
    journal = Journal()
    for at in range(JOURNAL_CEILING + 5):
        journal = journal.with_entry(float(at), "claimed")

    assert (len(journal.entries), journal.dropped, journal.entries[0].at) == (JOURNAL_CEILING, 5, 5.0)
    assert journal.intact


def test_a_redacted_journal_has_no_words_of_people() -> None:
    redacted = three().redacted()

    assert [entry.event for entry in redacted.entries] == ["claimed", "unknown", "resolved_applied"]
    assert not any(entry.by or entry.why or entry.salt for entry in redacted.entries)


def test_a_redacted_journal_has_the_digests_it_had_and_is_intact() -> None:
    redacted = three().redacted()

    assert [entry.digest for entry in redacted.entries] == [entry.digest for entry in three().entries]
    assert redacted.intact
    assert redacted.with_entry(4.0, "erased").intact


def test_words_that_are_put_back_otherwise_are_seen() -> None:
    redacted = three().redacted()
    forged = structs.replace(redacted.entries[2], by="b.ortiz", why="PSP has it")

    assert not structs.replace(redacted, entries=(*redacted.entries[:2], forged)).intact


def test_words_can_not_be_guessed_from_what_is_left() -> None:
    one, other = (
        Journal().with_entry(1.0, "resolved_applied", by="a.lee", why="ok", salt=salt).redacted()
        for salt in (b"s" * 16, b"t" * 16)
    )

    assert one.entries[0].words != other.entries[0].words
