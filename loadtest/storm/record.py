"""The runs as a program reads them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from loadtest.storm.stage import Run
from loadtest.storm.verdict import Shortfall


def record(
    runs: Sequence[Run],
    failures: Sequence[str],
    shortfalls: Sequence[Shortfall],
    versions: Mapping[str, str],
    machine: Mapping[str, str | int],
) -> dict[str, Any]:
    """Plain values for JSON. Shares are of 1, times in seconds; null is what there is none of."""
    return {
        "command": "loadtest storm",
        "machine": dict(machine),
        "versions": dict(versions),
        "runs": [
            {
                "scenario": run.scenario.name,
                "subject": run.subject,
                "seed": run.seed,
                "seconds": run.scenario.seconds,
                "generator_late": run.late,
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
