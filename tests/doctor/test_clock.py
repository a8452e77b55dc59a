from datetime import UTC, datetime
from pathlib import Path

import pytest

from sidecar.doctor.clock import clock, lives
from sidecar.doctor.diagnosis import Diagnosis, Mark
from sidecar.doctor.reachability import Contact, Reached
from tests.fakes.certificates import certificate, write_pair
from tests.fakes.documents import EXCEPTION, NOW, OVERRIDE, POLICY, SIDECAR, Loading


def reached(*offsets: float | None) -> list[Reached]:
    return [
        Reached(Contact(f"d{number}", "127.0.0.1", 80), offset=offset, expires=None)
        for number, offset in enumerate(offsets)
    ]


def judged(*offsets: float | None) -> list[Diagnosis]:
    return list(clock(reached(*offsets)))


@pytest.mark.parametrize(
    ("offsets", "word", "said"),
    [
        ((31.0,), "clock_off", "31 s behind"),
        ((-31.0, -3600.0, -3600.0), "clock_off", "1:00:00 ahead of"),
        ((0.0, 3600.0, 0.0), "clock_disagrees", "d1 127.0.0.1:80: its clock is 1:00:00 ahead of this one"),
    ],
)
def test_a_clock_that_differs_is_found(offsets: tuple[float, ...], word: str, said: str) -> None:
    told = judged(*offsets)

    assert told[0].word == word
    assert said in told[0].what


def test_a_clock_that_agrees_is_fine() -> None:
    (told,) = judged(0.0, None, 29.0)

    assert told.mark is Mark.FINE


def test_without_any_date_the_clock_is_not_judged() -> None:
    (told,) = judged(None)

    assert told.mark is Mark.UNJUDGED


@pytest.mark.parametrize(
    ("begins", "ends", "word"),
    [
        (2000, 2026, "certificate_expired"),
        (2027, 2030, "certificate_pending"),
        (2000, 2100, None),
    ],
)
def test_certificates_of_ours_are_judged_by_the_clock(
    tmp_path: Path, loading: Loading, begins: int, ends: int, word: str | None
) -> None:
    cert, key = write_pair(tmp_path, certificate("localhost", begins=begins, ends=ends), "server")
    document = f"{SIDECAR}ingress: {{app: 'http://127.0.0.1:1', tls: {{cert: {cert}, key: {key}}}}}\n"

    told = [each.word for each in lives(loading(sidecar=document), [], NOW)]

    assert (word in told) if word else told == []


def test_the_certificate_of_an_endpoint_that_ends_soon_is_a_note(loading: Loading) -> None:
    results = reached(0.0)
    results[0].expires = datetime(2026, 11, 30, tzinfo=UTC).timestamp()

    (told,) = lives(loading(), results, NOW)

    assert (told.word, told.mark) == ("certificate_expires", Mark.NOTE)


def test_an_exception_that_has_not_begun_is_a_note(loading: Loading) -> None:
    later = EXCEPTION.replace("not_before: 2026-11-24", "not_before: 2026-11-25")

    (told,) = lives(loading(sidecar=SIDECAR + OVERRIDE, policy=POLICY + later), [], NOW)

    assert told.word == "exception_pending"
    assert "EX-1 begins at 2026-11-25 00:00 UTC" in told.what
