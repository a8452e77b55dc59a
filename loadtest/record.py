"""The results as a program reads them."""

from collections.abc import Mapping
from math import isnan
from typing import Any

from loadtest.bars import Ruling
from loadtest.figures import Results
from loadtest.plan import Plan


def record(
    results: Results, rulings: list[Ruling], plan: Plan, versions: Mapping[str, str], machine: Mapping[str, str | int]
) -> dict[str, Any]:
    """Plain values for JSON. Units are at the end of each figure's name; a figure nobody measured is null."""
    return {
        "command": "loadtest cost",
        "machine": dict(machine),
        "plan": {
            "rounds": plan.rounds,
            "warm_up_s": plan.warm_up,
            "seconds_s": plan.seconds,
            "connections": plan.connections,
            "idle_connections": plan.idle_connections,
            "rows": {
                workload.name: {"title": workload.title, "generator": plan.generator(workload)}
                for workload in plan.workloads
            },
            "cores": plan.cores.described(),
        },
        "baseline": results.baseline,
        "subjects": {subject: _subject(results, subject, versions[subject]) for subject in results.rounds},
        "bars": [
            {
                "bar": ruling.bar.title,
                "figure": ruling.bar.figure,
                "limit": ruling.bar.limit,
                "is_ratio": ruling.bar.is_ratio,
                "value": ruling.value,
                "rounds": list(ruling.rounds),
                "mark": ruling.mark.value,
                "reason": ruling.reason,
            }
            for ruling in rulings
        ],
    }


def _subject(results: Results, subject: str, version: str) -> dict[str, Any]:
    return {
        "version": version,
        "median": {figure: results.median(subject, figure) for figure in results.figures()},
        "to_baseline": {figure: results.ratio(subject, figure) for figure in results.figures()},
        "errors": {part: dict(errors) for part in results.parts() if (errors := results.errors(subject, part))},
        "rounds": [
            {figure: None if isnan(value) else value for figure, value in done.figures.items()}
            for done in results.rounds[subject]
        ],
    }
