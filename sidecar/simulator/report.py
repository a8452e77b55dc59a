"""A run as something to read: plain values for programs, one self-contained page for people."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any, Final

from sidecar.simulator.campaign import Cell, Contender
from sidecar.simulator.fleet import SLOT
from sidecar.simulator.harmless import MissedBar
from sidecar.simulator.outcome import RunOutcome
from sidecar.simulator.plot import PlotLine, heat, lines
from sidecar.simulator.scenario import Scenario

STYLES: Final = ("a", "b")
CSS: Final = """
:root{color-scheme:light dark;--ink:#1c2330;--soft:#5b6577;--paper:#fff;--grid:#e3e7ee;--a:#1668dc;--b:#c2410c;
--trouble:#f59e0b26;--good:#15803d;--bad:#b91c1c}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9f0;--soft:#9aa5b8;--paper:#10141c;--grid:#273042;--a:#6aa7ff;
--b:#ff9b66;--trouble:#f59e0b30;--good:#4ade80;--bad:#f87171}}
*{box-sizing:border-box}body{margin:0 auto;padding:32px 20px 64px;max-width:880px;background:var(--paper);
color:var(--ink);font:16px/1.55 system-ui,sans-serif}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 4px}h2{font-size:1.15rem;margin:40px 0 8px}
p{margin:6px 0}.soft,figcaption,.tick{color:var(--soft)}.verdict{font-size:1.1rem;margin:18px 0}
.verdict b.good{color:var(--good)}.verdict b.bad{color:var(--bad)}
table{border-collapse:collapse;width:100%;margin:12px 0;
font-variant-numeric:tabular-nums}th,td{padding:6px 10px;border-bottom:1px solid var(--grid);text-align:right}
th:first-child,td:first-child{text-align:left}thead th{color:var(--soft);font-weight:600;font-size:.86rem}
.wide,figure{overflow-x:auto}figure{margin:22px 0}figcaption{font-size:.9rem;margin-bottom:6px}.keys{float:right}
.key{margin-left:14px}
.key svg{margin-right:6px;vertical-align:middle}svg.plot{width:100%;height:auto}svg.map{max-width:100%;height:auto}
.maps{display:flex;flex-wrap:wrap;column-gap:48px}
.grid{stroke:var(--grid)}.tick{font-size:11px;fill:var(--soft)}.end{text-anchor:end}.mid{text-anchor:middle}
.line{fill:none;stroke-width:2;stroke-linejoin:round}.line.a{stroke:var(--a)}
.line.b{stroke:var(--b);stroke-dasharray:6 3}
.trouble{fill:var(--trouble)}.recovers{fill:var(--a)}.never{fill:var(--bad)}
.on-never{fill:var(--paper)!important}td{white-space:nowrap}
@media(max-width:560px){body{padding:20px 14px 40px}.keys{float:none;display:block}.key:first-child{margin-left:0}
svg.plot{min-width:640px}th,td{padding:6px 8px}}
.place{font-size:12px;text-anchor:middle;fill:var(--ink);font-variant-numeric:tabular-nums}
@media print{body{max-width:none}}
"""


@dataclass(frozen=True, slots=True)
class Chart:
    """The metastability map of one policy, and for how many seconds after a blip a fleet was watched."""

    contender: Contender
    cells: Sequence[Cell]
    watched: float


def record(
    scenario: Scenario,
    outcomes: Mapping[str, RunOutcome],
    charts: Sequence[Chart],
    harms: Sequence[MissedBar] | None = None,
) -> dict[str, Any]:
    """Plain values for JSON; seconds, shares of 1, counts. `harms` where the scenario expects none."""
    return {
        "command": "sidecar simulate",
        "scenario": {
            "name": scenario.name,
            "seed": scenario.seed,
            "seconds": scenario.seconds,
            "services": {name: _finite(asdict(one)) for name, one in scenario.services.items()},
            "troubles": [asdict(trouble) for trouble in scenario.troubles],
            "loads": scenario.loads(),
        },
        "slot_seconds": SLOT,
        "outcomes": {name: {**asdict(one), "metastable": one.metastable} for name, one in outcomes.items()},
        "map": {
            chart.contender.name: {"watched_seconds": chart.watched, "cells": [asdict(cell) for cell in chart.cells]}
            for chart in charts
        },
        **({} if harms is None else {"harms": [asdict(bar) for bar in harms]}),
    }


def _finite(fields: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: a limit that there is not is null."""
    return {name: None if value == float("inf") else value for name, value in fields.items()}


def page(scenario: Scenario, outcomes: Mapping[str, RunOutcome], charts: Sequence[Chart]) -> str:
    """One HTML page without scripts or outside assets."""
    shaded = [(trouble.begins, trouble.ends) for trouble in scenario.troubles]
    parts = [
        f"<h1>{escape(scenario.name)}</h1>",
        f'<p class="soft">{escape(fleet_in_words(scenario))}</p>',
        *(f'<p class="verdict">{verdict(name, one)}</p>' for name, one in outcomes.items()),
        "<h2>What callers saw</h2>",
        lines(
            "good answers, % of the requests that came in the same quarter of a second",
            [
                PlotLine(
                    name,
                    [100 * g / o if o else None for g, o in zip(one.good, one.offered, strict=True)],
                    style,
                )
                for (name, one), style in zip(outcomes.items(), STYLES, strict=False)
            ],
            SLOT,
            shaded,
            "%",
        ),
        _table(outcomes),
        "<h2>What the services saw</h2>",
    ]
    for service in dict.fromkeys(depth.service for one in outcomes.values() for depth in one.depths):
        series = [
            PlotLine(name, depth.attempts, style)
            for (name, one), style in zip(outcomes.items(), STYLES, strict=False)
            for depth in one.depths
            if depth.service == service
        ]
        parts.append(lines(f"attempts per second at {service}", series, SLOT, shaded, ""))
    parts.append(_depths(outcomes))
    if charts:
        parts.append("<h2>Where the outage outlives its cause</h2>")
        parts.append(
            '<p class="soft">Rows: how much of its capacity the fleet uses when all is well. Columns: how long the '
            f"blip lasts. Each place: seconds from its end to recovery; ∞: none in {charts[0].watched:g} s. "
            "The scenario in small, every pod with its own load.</p>"
        )
        parts.append('<div class="maps">')
        for chart in charts:
            rows = sorted({cell.utilisation for cell in chart.cells}, reverse=True)
            columns = sorted({cell.blip for cell in chart.cells})
            found = {(cell.utilisation, cell.blip): cell.recovery for cell in chart.cells}
            places = [[found[row, column] for column in columns] for row in rows]
            parts.append(heat(chart.contender.name, rows, columns, places, chart.watched))
        parts.append("</div>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(scenario.name)}</title><style>{CSS}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def fleet_in_words(scenario: Scenario) -> str:
    """The fleet in one sentence."""
    coming = scenario.loads()
    told = []
    for name, one in scenario.services.items():
        load = f"{one.pods} pods of {name}" if one.pods > 1 else name
        if one.callers:
            load += f" ({one.callers * one.pods:,} callers who ask again and again)"
        elif one.unlimited:
            load += f" ({coming[name]:,.0f}/s, of unlimited capacity)" if coming[name] else " (of unlimited capacity)"
        elif one.workers:
            load += f" ({coming[name]:,.0f}/s, {coming[name] / one.capacity:.0%} of its capacity)"
        else:
            load += f" ({coming[name]:,.0f}/s)"
        told.append(load)
    return f"{' → '.join(told)}. {scenario.seconds:g} s, seed {scenario.seed}."


def verdict(name: str, one: RunOutcome) -> str:
    """The answer in one line, as HTML."""
    who = escape(name)
    if one.metastable:
        return f'<b class="bad">{who}: the outage outlives its cause.</b> No recovery in {one.seconds_after:g} s.'
    when = f"{one.recovery:g} s after the trouble" if one.recovery else "as soon as the trouble ends"
    return f'<b class="good">{who}: recovers {when}.</b> At most {one.amplification:.2f} attempts per request.'


def _table(outcomes: Mapping[str, RunOutcome]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{share(one.before)}</td><td>{share(one.during)}</td><td>{share(one.after)}</td>"
        f"<td>{seconds(one.recovery)}</td><td>{one.amplification:.2f}</td><td>{one.worst_second:.2f}</td>"
        f"<td>{milliseconds(one.p50)}</td><td>{milliseconds(one.p99)}</td></tr>"
        for name, one in outcomes.items()
    )
    return (
        '<div class="wide">'
        '<table><thead><tr><th scope="col">policy</th><th scope="col">before</th><th scope="col">during</th>'
        '<th scope="col">after</th><th scope="col">recovery</th><th scope="col">amplification</th>'
        '<th scope="col">worst second</th><th scope="col">p50</th><th scope="col">p99</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _depths(outcomes: Mapping[str, RunOutcome]) -> str:
    rows = "".join(
        f"<tr><td>{escape(depth.service)}, {escape(name)}</td><td>{depth.attempts_per_request:.2f}</td>"
        f"<td>{depth.amplification:.2f}</td><td>{depth.wasted:.0%}</td><td>{depth.longest_queue:,}</td></tr>"
        for name, one in outcomes.items()
        for depth in one.depths
    )
    return (
        '<div class="wide">'
        '<table><thead><tr><th scope="col">service, policy</th><th scope="col">attempts per request from outside</th>'
        '<th scope="col">amplification</th><th scope="col">wasted work</th><th scope="col">longest queue</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def share(value: float | None) -> str:
    """A share as people read it."""
    return "-" if value is None else f"{value:.1%}"


def seconds(value: float | None) -> str:
    """A recovery as people read it."""
    return "never" if value is None else f"{value:g} s"


def milliseconds(value: float | None) -> str:
    """A latency as people read it."""
    return "-" if value is None else f"{value * 1000:,.0f} ms"
