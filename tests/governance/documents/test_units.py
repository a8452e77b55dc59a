import pytest
from hypothesis import given, strategies

from sidecar.governance.documents.units import BodyLimit, Duration, Size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("2s", 2.0), ("1m", 60.0), ("24h", 86400.0), ("1.5s", 1.5), ("0.5ms", 0.0005), ("0s", 0.0)],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert Duration.parse(text) == seconds


@pytest.mark.parametrize(
    "written", [2, 0, 2.5, True, None, "", "2", "2 s", "2S", "s", "-2s", "1m30s", "1d", "1e3s", ".5s", "٢s", "2s\n", []]
)
def test_a_duration_without_a_known_unit_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be a duration with its unit, like 250ms, 2s, 1m or 24h"):
        Duration.parse(written)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.025, "25ms"), (0.0005, "0.0005s"), (1.5, "1500ms"), (90.0, "90s"), (60.0, "1m"), (86400.0, "24h"), (0.0, "0s")],
)
def test_a_duration_is_written_in_its_shortest_form(seconds: float, text: str) -> None:
    assert str(Duration(seconds)) == text
    assert f"{Duration(seconds)}" == text


@given(strategies.floats(min_value=0, max_value=1e9).map(lambda seconds: round(seconds, 9)))
def test_a_duration_reads_back_as_itself(seconds: float) -> None:
    assert Duration.parse(str(Duration(seconds))) == seconds


@given(strategies.integers(0, 10**6), strategies.sampled_from(["ms", "s", "m", "h"]))
def test_a_written_duration_keeps_its_value_through_reading_and_writing(count: int, unit: str) -> None:
    duration = Duration.parse(f"{count}{unit}")

    assert Duration.parse(str(duration)) == duration


@pytest.mark.parametrize(
    ("text", "count"), [("64KiB", 65536), ("1MiB", 1 << 20), ("2GiB", 2 << 30), ("100B", 100), (0, 0)]
)
def test_a_size_is_read_in_bytes(text: object, count: int) -> None:
    assert Size.parse(text) == count


@pytest.mark.parametrize("written", [1, 64.0, False, None, "64", "64KB", "64kib", "64 KiB", "-1KiB", "1.5MiB", ""])
def test_a_size_without_a_known_unit_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be a size with its unit, like 64KiB or 1MiB"):
        Size.parse(written)


@given(strategies.integers(0, 1 << 39))
def test_a_size_reads_back_as_itself(count: int) -> None:
    assert Size.parse(str(Size(count))) == count


def test_a_body_limit_may_be_off() -> None:
    off = BodyLimit.parse("off")
    limit = BodyLimit.parse("1MiB")

    assert (off.off, str(off)) == (True, "off")
    assert (limit.off, str(limit)) == (False, "1MiB")


@pytest.mark.parametrize("written", [False, "none", 5, None])
def test_a_body_limit_is_a_size_or_off(written: object) -> None:
    with pytest.raises(ValueError, match='must be "off" or a size with its unit, like 1MiB'):
        BodyLimit.parse(written)
