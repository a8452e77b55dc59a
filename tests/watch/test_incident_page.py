"""The page for those who were not there: its sentences, and that it needs nothing and trusts nobody."""

import re
from dataclasses import replace
from datetime import UTC
from html.parser import HTMLParser

import pytest

from sidecar.watch.incident import Incident, Span, incidents
from sidecar.watch.incident_page import page
from tests.watch.documents import BEGAN, after_a_limit_of_ours, after_a_storm

SPAN = Span(BEGAN, BEGAN + 90)


def written(*told: Incident) -> str:
    return page(told, service="checkout", version="1.2.3", told_at=BEGAN + 100, span=SPAN, zone=UTC)


def words_of(text: str) -> str:
    body = re.sub(r"<style>.*?</style>|<svg.*?</svg>", " ", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def test_it_says_what_happened_what_we_did_and_what_it_would_have_been() -> None:
    told = incidents(after_a_storm(), SPAN.begins, SPAN.ends)
    episode = told[0].episodes[0]

    words = words_of(written(*told))

    assert "payments was in trouble for 2" in words
    assert f"{episode.bad:,} of {episode.requests:,} requests were not served" in words
    assert f"never took the load over {told[0].worst_amplification:.2f} attempts per request" in words
    assert f"it met {episode.attempts:,} attempts" in words
    assert f"there would have been {episode.without:,.0f} or more" in words
    assert "When it answered well again, callers were served" in words
    assert "all times UTC" in words


def test_where_our_limit_was_the_cause_it_says_so() -> None:
    (told,) = incidents(after_a_limit_of_ours(), BEGAN, BEGAN + 20)

    words = words_of(written(told))

    assert told.is_our_doing
    assert "payments was held back by the sidecar for 10 s" in words
    assert "The sidecar was the cause: its in-flight limit had no slot for 100 requests or retries" in words
    assert "answered well what it was sent (0 % failed)" in words


def test_a_storm_of_the_destination_is_not_blamed_on_our_limit() -> None:
    assert not any(one.is_our_doing for one in incidents(after_a_storm(), SPAN.begins, SPAN.ends))


def test_the_estimate_is_called_one_and_its_formula_and_assumptions_stand_there() -> None:
    words = words_of(written(*incidents(after_a_storm(), SPAN.begins, SPAN.ends)))

    assert "is computed, not counted" in words
    assert "attempts without = requests" in words
    assert "more likely higher than lower" in words


def test_it_needs_nothing_from_elsewhere_and_runs_nothing() -> None:
    text = written(*incidents(after_a_storm(), SPAN.begins, SPAN.ends))

    assert "://" not in text
    assert "<script" not in text
    assert "default-src 'none'" in text
    assert len(text) < 300_000


def test_every_element_that_is_opened_is_closed() -> None:
    class Balance(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag != "meta":
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

        def handle_startendtag(self, tag: str, attrs: object) -> None:
            pass

    balance = Balance()
    balance.feed(written(*incidents(after_a_storm(), SPAN.begins, SPAN.ends)))

    assert balance.open == []


def test_destinations_that_were_well_are_a_line_each() -> None:
    text = written(*incidents(after_a_storm(), SPAN.begins, SPAN.ends))

    assert text.count("<figure>") == 4
    assert "Well all the time" in text
    assert all(f"<th scope=row>{name}</th>" in text for name in ("ledger", "search"))


def test_hostile_names_are_text() -> None:
    (one, *_) = incidents(after_a_storm(), SPAN.begins, SPAN.ends)
    evil = "<script>alert(1)</script>"

    text = written(replace(one, name=evil, refusals={evil: 3}))

    assert "<script>" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        (1, "payments had too few requests to judge 1 request, 0 %"),
        (19, "payments had too few requests to judge 19 requests, 0 %"),
        (20, "payments was well 20 requests, 0 %"),
    ],
)
def test_nothing_is_called_well_by_a_few_requests(requests: int, said: str) -> None:
    one = incidents(after_a_storm(), BEGAN, BEGAN + 40)[0]

    assert said in words_of(written(replace(one, requests=requests, bad=0)))


def test_a_quiet_time_is_told_as_one() -> None:
    one = incidents(after_a_storm(), BEGAN, BEGAN + 40)[0]

    assert "was well" in words_of(written(one))
    assert "Nothing was asked of any destination" in words_of(written())
