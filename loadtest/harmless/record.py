"""The runs as a program reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from loadtest.harmless.figures import Figures
from loadtest.harmless.situation import Situation
from loadtest.harmless.stage import Run
from loadtest.harmless.verdict import Harm


def record(
    runs: Sequence[Run],
    failures: Sequence[str],
    found: Sequence[Harm],
    versions: Mapping[str, str],
    machine: Mapping[str, str | int],
) -> dict[str, Any]:
    """Plain values for JSON. Shares are of 1, times in seconds; null is what there is none of."""
    return {
        "command": "loadtest harmless",
        "machine": dict(machine),
        "versions": dict(versions),
        "runs": [
            {
                "situation": run.situation.name,
                "subject": run.subject,
                "seed": run.seed,
                "requests": run.requests,
                "attempts": run.attempts,
                "most_attempts": run.most_attempts,
                "generator_late": round(run.late, 4),
                "kinds": [_rounded(asdict(each)) for each in run.figures],
            }
            for run in runs
        ],
        "failures": list(failures),
        "harms": [_rounded(asdict(harm)) for harm in found],
    }


def runs_of(document: Mapping[str, Any], known: Mapping[str, Situation]) -> list[Run]:
    """The runs of an earlier record. Raises KeyError or TypeError if it is none, or one of other situations."""
    return [
        Run(
            situation=known[run["situation"]],
            subject=run["subject"],
            seed=run["seed"],
            figures=tuple(Figures(**kind) for kind in run["kinds"]),
            requests=run["requests"],
            attempts=run["attempts"],
            most_attempts=run["most_attempts"],
            late=run["generator_late"],
        )
        for run in document["runs"]
    ]


def _rounded(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, 5) if isinstance(value, float) else value for name, value in fields.items()}
