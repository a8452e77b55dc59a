from datetime import UTC, datetime, timedelta, timezone

import click
import pytest

from sidecar.cli.moment import moment

CONTEXT = click.Context(click.Command("x"))
OPTION = click.Option(["--at"])


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-12-05", datetime(2026, 12, 5, tzinfo=UTC)),
        ("2026-12-05T18:00:00Z", datetime(2026, 12, 5, 18, tzinfo=UTC)),
        ("2026-12-05T01:00+02:00", datetime(2026, 12, 5, 1, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_a_day_is_its_first_instant_in_utc(text: str, instant: datetime) -> None:
    assert moment(CONTEXT, OPTION, text) == instant


def test_without_a_value_it_is_an_aware_now() -> None:
    assert abs(moment(CONTEXT, OPTION, None) - datetime.now(UTC)) < timedelta(seconds=5)


def test_another_word_is_named() -> None:
    with pytest.raises(click.BadParameter, match=r"like 2026-12-05 or .*, got 'tomorrow'"):
        moment(CONTEXT, OPTION, "tomorrow")
