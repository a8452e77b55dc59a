"""Journals: an entry that was changed, taken out or put elsewhere is seen."""

from msgspec import structs

from sidecar.idempotency.journal import JOURNAL_CEILING, Journal


def three() -> Journal:
    journal = Journal().with_entry(1.0, "claimed").with_entry(2.0, "unknown", why="reset")
    return journal.with_entry(3.0, "resolved_applied", status=201, by="a.lee", why="PSP has it")


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
    assert not any(entry.by or entry.why for entry in redacted.entries)
    assert redacted.intact
