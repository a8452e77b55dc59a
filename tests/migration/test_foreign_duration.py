import pytest

from sidecar.migration.foreign_duration import duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0.25s", 0.25),
        ("3s", 3),
        ("1m30s", 90),
        ("1h", 3600),
        ("250ms", 0.25),
        ("0s", 0),
        ("1.5h", 5400),
        ("2d", 172800),
    ],
)
def test_a_duration_with_its_unit_is_read(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(("text", "seconds"), [("500", 0.5), ("PT0.5S", 0.5), ("pt1m", 60), ("PT1H30M", 5400)])
def test_spring_reads_milliseconds_and_iso_8601_too(text: str, seconds: float) -> None:
    assert duration(text, bare_milliseconds=True) == seconds
    assert duration(text) is None


@pytest.mark.parametrize("text", ["", "s", "1", "-1s", "1s ", "1x", "PT", "1s2", "infinite", "1e9s"])
def test_what_is_no_duration_is_none(text: str) -> None:
    assert duration(text) is None
