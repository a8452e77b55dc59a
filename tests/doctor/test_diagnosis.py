import re

import pytest

from sidecar.doctor.diagnosis import WORDS, Check, Mark, fine, found, unjudged


def test_a_finding_has_the_check_the_mark_and_the_reason_of_its_word() -> None:
    told = found("port_taken", "egress.listen 127.0.0.1:16001: pid 7", "kill 7")

    assert (told.check, told.mark) == (Check.PORTS, Mark.TROUBLE)
    assert told.why == WORDS["port_taken"].why
    assert told.cure == "kill 7"


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_one_word_and_its_reason_a_sentence(word: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]+", word)
    assert WORDS[word].why.endswith(".")
    assert WORDS[word].mark in (Mark.NOTE, Mark.TROUBLE)


def test_what_is_fine_or_unjudged_has_no_word() -> None:
    assert (fine(Check.CLOCK, "x").mark, fine(Check.CLOCK, "x").word) == (Mark.FINE, "")
    assert (unjudged(Check.CLOCK, "x", "y").mark, unjudged(Check.CLOCK, "x", "y").cure) == (Mark.UNJUDGED, "y")
