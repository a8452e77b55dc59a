from datetime import UTC, timedelta, timezone
from xml.etree import ElementTree

import pytest

from sidecar.watch.incident import Span, incidents
from sidecar.watch.plot import POINTS, Clock, ceiling, plot
from tests.watch.documents import BEGAN, after_a_storm

ONE = incidents(after_a_storm(), BEGAN, BEGAN + 90)[0]


def drawn(values: list[float | None], top: float = 10.0) -> ElementTree.Element:
    text = plot(
        ONE, Clock(UTC, ONE.span), height=100, top=top, label=str, curves=[("line", values)], said="5 < 6", band=True
    )
    return ElementTree.fromstring(text)


def path_of(root: ElementTree.Element) -> str:
    return next(one.attrib["d"] for one in root.iter("path"))


def test_a_plot_is_well_formed_says_what_it_shows_and_has_the_breaker_below() -> None:
    root = drawn([1.0] * 90)

    assert root.attrib["aria-label"] == "5 < 6"
    assert {one.attrib["class"].split()[1] for one in root.iter("rect")} >= {"closed", "open", "half_open"}


def test_a_value_beyond_the_scale_stays_inside_and_nothing_is_a_gap() -> None:
    path = path_of(drawn([99.0, None, -5.0, *[1.0] * 87]))

    ys = [float(point.split()[1]) for point in path.replace("M", "L").split("L") if point]
    assert all(6 <= y <= 100 for y in ys)
    assert path.count("M") == 2


def test_of_many_points_the_peak_is_kept() -> None:
    values: list[float | None] = [1.0] * 90
    values[41] = 10.0

    path = path_of(drawn(values))

    assert " 6.0" in path
    assert path.count("L") + path.count("M") <= POINTS


def test_ticks_are_round_and_few() -> None:
    clock = Clock(UTC, Span(BEGAN, BEGAN + 90))

    for seconds in (7, 40, 90, 300, 900, 3600):
        ticks = clock.ticks(Span(BEGAN + 0.4, BEGAN + 0.4 + seconds))
        assert 1 <= len(ticks) <= 10
        assert all(tick % 5 == 0 for tick in ticks)


def test_times_are_told_in_the_zone_that_was_asked_for() -> None:
    span = Span(BEGAN, BEGAN + 60)

    assert Clock(UTC, span).range(span) == "14:13:20 \N{EN DASH} 14:14:20"
    assert Clock(timezone(timedelta(hours=2), "EET"), span).full(BEGAN) == "21 September 2026, 16:13:20 EET"


@pytest.mark.parametrize(("value", "top"), [(0.7, 0.8), (1, 1), (1.2, 1.5), (61, 80), (220, 300), (900, 1000)])
def test_a_scale_ends_at_a_round_number(value: float, top: float) -> None:
    assert ceiling(value) == pytest.approx(top)
