"""Plots as inline SVG: lines over time, and the map of where a fleet recovers. Colours are classes of the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 220
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 30
CELL: Final = 46


@dataclass(frozen=True, slots=True)
class PlotLine:
    """Values at equal distances in time; `style` is the class of its colour."""

    title: str
    values: Sequence[float | None]
    style: str


def lines(title: str, series: Sequence[PlotLine], slot: float, shaded: Sequence[tuple[float, float]], unit: str) -> str:
    """A plot over time; `slot` seconds lie between two values, and troubles are shaded."""
    seconds = max(len(one.values) for one in series) * slot
    highest = max((value for one in series for value in one.values if value is not None), default=1.0)
    top = _round_up(highest)
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(second: float) -> float:
        return LEFT + across * second / seconds

    def y(value: float) -> float:
        return TOP + down * (1 - value / top)

    parts = [
        f'<rect class="trouble" x="{x(begins):.1f}" y="{TOP}" width="{x(ends) - x(begins):.1f}" height="{down}"/>'
        for begins, ends in shaded
    ]
    for step in range(5):
        value = top * step / 4
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text class="tick end" x="{LEFT - 6}" y="{y(value) + 4:.1f}">{_number(value)}{unit}</text>')
    parts += [
        f'<text class="tick mid" x="{x(second):.1f}" y="{HEIGHT - 8}">{second} s</text>'
        for second in range(0, int(seconds) + 1, max(1, math.ceil(seconds / 12 / 5) * 5))
    ]
    for one in series:
        points = [
            f"{x((place + 0.5) * slot):.1f},{y(value):.1f}"
            for place, value in enumerate(one.values)
            if value is not None
        ]
        parts.append(f'<polyline class="line {one.style}" points="{" ".join(points)}"/>')
    keys = "".join(
        '<span class="key"><svg width="18" height="8" aria-hidden="true">'
        f'<line class="line {one.style}" x1="0" x2="18" y1="4" y2="4"/></svg>{escape(one.title)}</span>'
        for one in series
    )
    label = escape(title)
    return (
        f'<figure><figcaption>{label}<span class="keys">{keys}</span></figcaption>'
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
        "</figure>"
    )


def heat(
    title: str,
    rows: Sequence[float],
    columns: Sequence[float],
    recoveries: Sequence[Sequence[float | None]],
    watched: float,
) -> str:
    """The map: a row for each utilisation (highest first), a column for each length of the blip in seconds.

    A place is the seconds until recovery, or ∞ where there was none in the `watched` seconds.
    """
    parts = []
    for row, utilisation in enumerate(rows):
        y = TOP + row * CELL
        parts.append(f'<text class="tick end" x="{LEFT - 6}" y="{y + CELL / 2 + 4}">{utilisation:.0%}</text>')
        for column, recovery in enumerate(recoveries[row]):
            x = LEFT + column * CELL
            told = "∞" if recovery is None else f"{recovery:.1f}"
            depth = 1.0 if recovery is None else min(1.0, recovery / watched)
            style = "never" if recovery is None else "recovers"
            opacity = 1.0 if recovery is None else 0.12 + 0.75 * depth
            parts.append(
                f'<rect class="{style}" x="{x}" y="{y}" width="{CELL - 2}" height="{CELL - 2}" '
                f'fill-opacity="{opacity:.2f}"/>'
                f'<text class="place on-{style}" x="{x + CELL / 2 - 1}" y="{y + CELL / 2 + 4}">{told}</text>'
            )
    bottom = TOP + len(rows) * CELL
    for column, blip in enumerate(columns):
        middle = LEFT + column * CELL + CELL / 2
        parts.append(f'<text class="tick mid" x="{middle}" y="{bottom + 16}">{blip:g} s</text>')
    label = escape(title)
    width, height = LEFT + len(columns) * CELL + RIGHT, bottom + BOTTOM
    return (
        f"<figure><figcaption>{label}</figcaption>"
        f'<svg class="map" viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg></figure>"
    )


def _round_up(value: float) -> float:
    """The next 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6 or 8 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * power >= value * 0.9999)


def _number(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:g}" if value < 1000 else f"{value:,.0f}"
