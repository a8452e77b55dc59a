"""Plots over time as inline SVG: curves on one scale, the breaker's band below them, and the time of day."""

import html
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, tzinfo
from typing import Final

from sidecar.watch.incident import Incident, Span

WIDTH: Final = 860
LEFT: Final = 52
RIGHT: Final = 10
POINTS: Final = 400
"""Of one curve at most: beyond, neighbours share one."""

Curve = tuple[str, Sequence[float | None]]
"""A class of the style sheet, and its values; a class that begins with `fill` is an area."""

DASH: Final = " \N{EN DASH} "

PATTERNS: Final = (
    '<svg class="patterns" width="0" height="0" aria-hidden="true"><defs>'
    '<pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="5" height="5" fill="#b5310a"/><rect width="1.6" height="5" fill="#f6d9cd"/></pattern>'
    '<pattern id="dots" width="5" height="5" patternUnits="userSpaceOnUse"><rect width="5" height="5" fill="#f3ecd9"/>'
    '<circle cx="2.5" cy="2.5" r="1.4" fill="#8a6100"/></pattern>'
    '<pattern id="steps" width="6" height="6" patternUnits="userSpaceOnUse"><rect width="6" height="6" fill="#e3efe9"/>'
    '<rect width="3" height="6" fill="#1a7f5a"/></pattern></defs></svg>'
)


class Clock:
    """Times of day as people read them, in one zone."""

    STEPS: Final = (5, 10, 15, 30, 60, 120, 300, 600)

    def __init__(self, zone: tzinfo, span: Span) -> None:
        self._zone = zone
        self.zone = self._at(span.begins).strftime("%Z") or "local"

    def _at(self, at: float) -> datetime:
        return datetime.fromtimestamp(at, self._zone)

    def time(self, at: float) -> str:
        """Hours, minutes, seconds."""
        return self._at(at).strftime("%H:%M:%S")

    def day(self, at: float) -> str:
        """The date."""
        return self._at(at).strftime("%-d %B %Y")

    def full(self, at: float) -> str:
        """Date, time and zone."""
        return f"{self.day(at)}, {self.time(at)} {self.zone}"

    def range(self, span: Span) -> str:
        """From when to when."""
        same = self.day(span.begins) == self.day(span.ends)
        return f"{self.time(span.begins)}{DASH}{self.time(span.ends)}" + ("" if same else f" ({self.day(span.ends)})")

    def ticks(self, span: Span) -> list[float]:
        """Round instants in the span, at most ten."""
        step = next((step for step in self.STEPS if span.seconds / step <= 9), self.STEPS[-1])
        first = math.ceil(span.begins / step) * step
        count = int((span.ends - first) / step) + 1
        return [first + number * step for number in range(max(0, count))]

    def tick(self, at: float) -> str:
        """The written form of one value."""
        return self._at(at).strftime("%H:%M:%S" if at % 60 else "%H:%M")


def plot(
    one: Incident,
    when: "Clock",
    *,
    height: int,
    top: float,
    label: Callable[[float], str],
    curves: Sequence[Curve],
    said: str,
    bottom: float = 0.0,
    band: bool = False,
) -> str:
    """`curves` in that order between `bottom` and `top`; `said` is the same in words, `label` writes the scale."""
    inner = WIDTH - LEFT - RIGHT
    begins, seconds = one.span.begins, max(1.0, one.span.seconds)
    below = height + (24 if band else 6)

    def x(at: float) -> float:
        return LEFT + inner * min(1.0, max(0.0, (at - begins) / seconds))

    def y(value: float) -> float:
        return 6 + (height - 6) * (1 - (min(max(value, bottom), top) - bottom) / (top - bottom))

    parts = [f'<svg viewBox="0 0 {WIDTH} {below + 16}" role="img" aria-label="{html.escape(said)}">']
    for share in (0.0, 0.5, 1.0):
        value = bottom + (top - bottom) * share
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
            f'<text class="scale" x="{LEFT - 8}" y="{y(value) + 4:.1f}">{html.escape(label(value))}</text>'
        )
    parts += [
        f'<line class="tick" x1="{x(at):.1f}" x2="{x(at):.1f}" y1="6" y2="{height}"/>'
        f'<text class="time" x="{x(at):.1f}" y="{below + 12}">{html.escape(when.tick(at))}</text>'
        for at in when.ticks(one.span)
        if x(at) < WIDTH - 24
    ]
    for kind, values in curves:
        points = _points(one.curves.times, values)
        if kind.startswith("fill"):
            parts.append(
                f'<path class="{kind}" d="{_area([(x(at), y(v or bottom)) for at, v in points], y(bottom))}"/>'
            )
        else:
            drawn = [(x(at), None if value is None else y(value)) for at, value in points]
            parts.append(f'<path class="line {kind}" d="{_line(drawn)}"/>')
    if band:
        ends = [*(at for at, _ in one.breaker[1:]), one.span.ends]
        for (at, state), until in zip(one.breaker, ends, strict=True):
            width = max(x(until) - x(at), 0.0 if state == "closed" else 1.0)
            tall = 3 if state == "closed" else 11
            parts.append(
                f'<rect class="state {html.escape(state)}" x="{x(at):.1f}" width="{width:.1f}" '
                f'y="{height + 13 - tall / 2:.1f}" height="{tall}"/>'
            )
        parts.append(f'<text class="scale" x="{LEFT - 8}" y="{height + 17}">breaker</text>')
    parts.append("</svg>")
    return "".join(parts)


def ceiling(value: float) -> float:
    """A round number at or over `value`, which is positive: a small number times a power of ten."""
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= value * 0.999)


def _points(times: Sequence[float], values: Sequence[float | None]) -> list[tuple[float, float | None]]:
    """At most POINTS of them; of neighbours that share one the highest is shown, so that no peak is lost."""
    size = max(1, math.ceil(len(times) / POINTS))
    points: list[tuple[float, float | None]] = []
    for begin in range(0, len(times), size):
        known = [value for value in values[begin : begin + size] if value is not None]
        points.append((times[min(begin + size, len(times)) - 1], max(known) if known else None))
    return points


def _line(points: Iterable[tuple[float, float | None]]) -> str:
    path = ""
    pen = "M"
    for x, y in points:
        if y is None:
            pen = "M"
            continue
        path += f"{pen}{x:.1f} {y:.1f}"
        pen = "L"
    return path


def _area(points: Sequence[tuple[float, float]], floor: float) -> str:
    if not points:
        return ""
    return f"M{points[0][0]:.1f} {floor:.1f}{_line(points).replace('M', 'L')}L{points[-1][0]:.1f} {floor:.1f}Z"
