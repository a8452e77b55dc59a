"""One run: a dependency, a fleet of processes that call it through one library, and what both ends saw."""

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any

from loadtest.child import Child, NotStartedError
from loadtest.clients.libraries import Library
from loadtest.storm.figures import figures
from loadtest.storm.scenario import Scenario
from loadtest.storm.stage import LEAD, SETTLE, START_WITHIN, FailedError, Run, Tell, asked
from loadtest.storm.traffic import requests
from loadtest.storm.witness import Attempt

POLL = 0.5  # seconds between looks whether all have ended


def run(scenario: Scenario, library: Library, seed: int, factor: float, tell: Tell) -> Run:
    """Play the scenario, already scaled by `factor`, with as many processes as it has proxies. Raises FailedError.

    The dependency has one address: no library here chooses among several.
    """
    try:
        return _played(scenario, library, seed, factor, tell)
    except (NotStartedError, OSError, ValueError) as error:
        raise FailedError(f"{scenario.name}, {library.name}: {error or type(error).__name__}") from error


def _played(scenario: Scenario, library: Library, seed: int, factor: float, tell: Tell) -> Run:
    with TemporaryDirectory(prefix="clients-") as scratch, ExitStack() as children:
        folder = Path(scratch)
        common = [scenario.name, str(seed), str(factor)]
        dependency = _child(children, folder, "dependency", "loadtest.storm.dependency", common)
        ports = json.loads(dependency.first_line(START_WITHIN))
        ((port,),) = ports["destinations"]
        workers = [
            _child(
                children,
                folder,
                f"{library.name}-{share}",
                "loadtest.clients.worker",
                [library.name, *common, str(share), str(scenario.proxies), str(port)],
            )
            for share in range(scenario.proxies)
        ]
        controls = [int(worker.first_line(START_WITHIN)) for worker in workers]
        zero = monotonic() + LEAD
        for control in (ports["control"], *controls):
            asked(control, f"/begin?zero={zero}")
        reports = _ended(controls, zero, scenario.seconds + scenario.deadline + START_WITHIN, tell)
        attempts = [Attempt(*fields) for fields in json.loads(asked(ports["control"], "/report"))]
    planned = requests(scenario, seed)
    for report in reports:
        for number, ended, status in report["requests"]:
            planned[number].ended, planned[number].status = ended, status
    late = max(report["late"] for report in reports)
    cpu = sum(report["cpu"] for report in reports) / len(planned)
    return Run(scenario, library.name, seed, figures(scenario, planned, attempts), late, cpu)


def _child(children: ExitStack, folder: Path, name: str, module: str, arguments: list[str]) -> Child:
    argv = [sys.executable, "-m", module, *arguments]
    return children.enter_context(Child(name, argv, core=None, log=folder / f"{name}.log"))


def _ended(controls: list[int], zero: float, within: float, tell: Tell) -> list[dict[str, Any]]:
    """What all workers report once all have ended. Raises FailedError after `within` seconds."""
    while monotonic() - zero < within:
        sleep(POLL)
        tell(monotonic() - zero)
        reports = [json.loads(asked(control, "/report")) for control in controls]
        if all(report["ended"] for report in reports):
            sleep(SETTLE)
            return reports
    raise FailedError(f"the fleet has not ended within {within:.0f} s")
