"""What is simulated is held against what was measured: the storms of docs/storms.md, played again in virtual time.

Bounds, of the shares in points of a hundred: before and after 2, during 5; amplification 0.03, recovery one second.
Where one is wider, it says why.
"""

from pathlib import Path

import pytest
from msgspec.structs import replace

from loadtest.storm.scenario import Fault, Scenario, scenarios
from sidecar.engine.policy import DestinationPolicy
from sidecar.governance.policy.snapshot import from_flags
from sidecar.simulator import scenario as simulated
from sidecar.simulator.fleet import SLOT, Fleet
from sidecar.simulator.outcome import RunOutcome, outcome
from tests.fakes.documents import NOW

ROOT = Path(__file__).parents[2]
STORMS = scenarios()
BETTER = 20.0
"""Points by which the simulated dependency, which has no sockets to lose time on, may do better during a storm."""


WORSE = {"cold-cache": 8.0}
"""Points by which it may do worse during a storm, where not 5. Which keys are asked for first after a cold start is
chance, and decides how soon a limit rises: three runs on sockets came to 67.7, 70.0 and 71.2 %."""


def measured(storm: str, subject: str) -> dict[str, float | None]:
    """A row of the page: shares as percent, recovery in seconds, None where it never came."""
    section = (ROOT / "docs" / "storms.md").read_text().partition(f"### {storm}:")[2].partition("\n### ")[0]
    row = next(line for line in section.splitlines() if line.replace("*", "").startswith(f"| {subject} |"))
    cells = [cell.strip().strip("*") for cell in row.split("|")[2:7]]
    names = ("before", "during", "after", "recovery", "amplification")
    return {name: None if cell == "never" else float(cell.split()[0]) for name, cell in zip(names, cells, strict=True)}


def trouble(storm: Scenario, fault: Fault) -> simulated.Trouble:
    begins = storm.before + fault.at
    kind = "forget" if fault.cold else "error" if fault.status is not None else "dead" if fault.down else "hang"
    if fault.speed:
        kind = "brownout"
    wait = None if fault.retry_after is None else float(fault.retry_after)
    return simulated.Trouble(
        f"dependency-{fault.destination or 0}",
        kind,
        begins,
        begins + fault.seconds,
        fault.speed or 0.0,
        fault.status or 503,
        fault.share,
        wait,
        endpoint=fault.endpoint,
    )


def play(storm: Scenario, *, governed: bool = True) -> RunOutcome:
    policy = policy_of(storm)
    services = {}
    for number in range(storm.destinations):  # callers of one have nothing to do with the other
        services[f"caller-{number}"] = simulated.Service(
            f"caller-{number}",
            pods=storm.proxies,
            rate=storm.rate / storm.destinations / storm.proxies,
            deadline=storm.deadline,
            unsafe=storm.posts,
            calls={f"dependency-{number}": 1.0},
        )
        services[f"dependency-{number}"] = simulated.Service(
            f"dependency-{number}",
            workers=storm.workers,
            endpoints=storm.endpoints,
            service_time=storm.service,
            spread="even",
            queue=storm.queue,
            keys=storm.keys,
            miss=storm.miss,
        )
    troubles = [trouble(storm, fault) for fault in storm.faults]
    fleet = Fleet(
        simulated.Scenario(storm.title, 1, storm.seconds, 1.0, services, troubles),
        lambda _, __: policy,
        governed=governed,
    )
    return outcome(fleet.run())


def success(played: RunOutcome, begins: float, ends: float) -> float:
    """Percent, of the requests that came in that time."""
    slots = slice(round(begins / SLOT), round(ends / SLOT))
    return 100 * sum(played.good[slots]) / sum(played.offered[slots])


def policy_of(storm: Scenario) -> DestinationPolicy:
    shipped = from_flags("caller", ["d=http://127.0.0.1:1"], None, ROOT / "config" / "policy.yaml", NOW)
    return replace(shipped.destinations["d"].policy, timeout=storm.timeout, per_attempt_timeout=storm.per_try)


@pytest.mark.parametrize("name", STORMS)
def test_a_storm_comes_to_in_virtual_time_what_it_came_to_on_sockets(name: str) -> None:
    on_sockets, played = measured(name, "sidecar"), play(STORMS[name])

    assert played.recovery is not None
    assert on_sockets["recovery"] is not None
    storm = STORMS[name]
    last = max(storm.before + fault.at + fault.seconds for fault in storm.faults)  # from then on the simulator counts
    assert abs(max(0.0, last + played.recovery - storm.ends) - on_sockets["recovery"]) <= 1.0
    assert abs(played.amplification - (on_sockets["amplification"] or 0.0)) <= 0.03
    parts = {
        "before": (1.0, storm.before, 2.0),
        "during": (storm.before, storm.ends, WORSE.get(name, 5.0)),
        "after": (storm.ends, storm.seconds, 2.0),
    }
    for part, (begins, ends, bound) in parts.items():
        difference = success(played, begins, ends) - (on_sockets[part] or 0.0)
        assert -bound <= difference <= (BETTER if part == "during" else bound), part


@pytest.mark.parametrize("name", ["hang", "brownout"])
def test_retries_that_nothing_holds_never_recover_in_either(name: str) -> None:
    on_sockets, played = measured(name, "3 tries in the client"), play(STORMS[name], governed=False)

    assert on_sockets["recovery"] is None
    assert played.metastable
    assert abs(played.amplification - (on_sockets["amplification"] or 0.0)) <= 0.6


PEAK = {"flapping": 1.5}
"""Times the offered load, where not 1.3. Who is not served before it fails again is not served at all: released as
slowly as after a long outage the storm comes to 1.32, and 52 % during instead of 56."""


@pytest.mark.parametrize("name", STORMS)
def test_what_was_held_back_does_not_come_back_all_at_once(name: str) -> None:
    """The most attempts in any second of which the last part is after the last trouble, beside the offered load."""
    storm = STORMS[name]
    last = max(storm.before + fault.at + fault.seconds for fault in storm.faults)

    played = play(storm)

    begins, second, offered = round((last - 1.0) / SLOT), round(1.0 / SLOT), storm.rate / storm.destinations
    for depth in played.depths:
        seconds = (depth.attempts[slot : slot + second] for slot in range(begins, len(depth.attempts) - second + 1))
        assert max(sum(attempts) / second for attempts in seconds) <= PEAK.get(name, 1.3) * offered
