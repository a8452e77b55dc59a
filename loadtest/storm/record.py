"""The runs as a program reads them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from loadtest.storm.figures import Figures
from loadtest.storm.scenario import Scenario
from loadtest.storm.stage import Run
from loadtest.storm.verdict import Shortfall


def record(
    runs: Sequence[Run],
    failures: Sequence[str],
    shortfalls: Sequence[Shortfall],
    versions: Mapping[str, str],
    machine: Mapping[str, str | int],
    factor: float,
) -> dict[str, Any]:
    """Plain values for JSON. Shares are of 1, times in seconds; null is what there is none of."""
    return {
        "command": "loadtest storm",
        "machine": dict(machine),
        "versions": dict(versions),
        "seconds_scale": factor,
        "runs": [
            {
                "scenario": run.scenario.name,
                "subject": run.subject,
                "seed": run.seed,
                "seconds": run.scenario.seconds,
                "generator_late": run.late,
                "client_cpu": run.cpu,
                **asdict(run.figures),
            }
            for run in runs
        ],
        "failures": list(failures),
        "shortfalls": [
            {name: None if value == math.inf else value for name, value in asdict(shortfall).items()}
            for shortfall in shortfalls
        ],
    }


def runs_of(document: Mapping[str, Any], scenarios: Mapping[str, Scenario]) -> list[Run]:
    """The runs of an earlier record. Raises KeyError or TypeError if it is none, or one of other scenarios."""
    names = {field.name for field in fields(Figures)}
    return [
        Run(
            scenarios[run["scenario"]].scaled(document.get("seconds_scale", 1.0)),
            run["subject"],
            run["seed"],
            Figures(
                **{
                    name: tuple(value) if isinstance(value, list) else value
                    for name, value in run.items()
                    if name in names
                }
            ),
            run["generator_late"],
        )
        for run in document["runs"]
    ]
