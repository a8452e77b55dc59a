"""What a comparison consists of."""

from dataclasses import dataclass

from loadtest.cores import Cores
from loadtest.subjects import Subject
from loadtest.workload import WORKLOADS, Workload

SMALL = WORKLOADS["get"]  # the one that start-up, fixed rates and idle connections are measured with
FIXED_RATES = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run. `warm_up` and `seconds` are of each measurement; `idle_connections` may be 0 for none."""

    subjects: tuple[Subject, ...]
    workloads: tuple[Workload, ...]
    rounds: int
    warm_up: float
    seconds: float
    connections: int
    idle_connections: int
    uses_wrk: bool
    cores: Cores

    @property
    def steps(self) -> int:
        """How many things are begun at most."""
        in_each_round = 1 + len(self.workloads) + (FIXED_RATES if SMALL in self.workloads else 0)
        return len(self.subjects) * (self.rounds * in_each_round + (1 if self.idle_connections else 0))

    def generator(self, workload: Workload) -> str:
        return "wrk" if self.uses_wrk and workload.is_small else "own"
