"""The assertions about a run, for CI: `amplification < 1.2`, `recovery < 5s`."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from sidecar.governance.documents.units import Duration
from sidecar.simulator.outcome import RunOutcome

_WRITTEN = re.compile(r"\s*([a-z_0-9]+)(?:\[([^\]]+)\])?\s*(<=|>=|<|>)\s*([0-9.]+)\s*(?:(ms|s|m|h|%)\s*)?")
_RELATIONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
SECONDS: Final = frozenset({"recovery", "p50", "p99"})
SHARES: Final = frozenset({"before", "during", "after", "wasted"})
OF_A_SERVICE: Final = frozenset({"amplification", "worst_second", "attempts_per_request", "wasted", "longest_queue"})
OF_THE_FLEET: Final = frozenset({"amplification", "worst_second", "before", "during", "after"}) | SECONDS


@dataclass(frozen=True, slots=True)
class Assertion:
    """A figure, of one service or of the fleet, and its bound. Times are written with their unit, shares maybe in %."""

    text: str
    figure: str
    service: str | None
    relation: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what was written. Raises ValueError with the rule it breaks."""
        match = _WRITTEN.fullmatch(text)
        if match is None:
            raise ValueError("must be a figure, one of < <= > >=, and a number, like 'amplification < 1.2'")
        figure, service, relation, number, unit = match.groups()
        known = OF_THE_FLEET if service is None else OF_A_SERVICE
        if figure not in known:
            raise ValueError(f"{figure} is none of {', '.join(sorted(known))}")
        if figure in SECONDS:
            bound = float(Duration.parse(f"{number}{unit or ''}"))
        elif unit is not None and unit != "%":
            raise ValueError(f"{figure} is no duration")
        else:
            try:
                bound = float(number) / (100 if unit else 1)
            except ValueError:
                raise ValueError(f"{number} is no number") from None
        if figure in SHARES and bound > 1:
            raise ValueError(f"{figure} is a share: write 0.99 or 99%")
        return cls(text.strip(), figure, service, relation, bound)

    def failure(self, outcome: RunOutcome) -> str | None:
        """The reason why it does not hold, with the figure; None if it does. The time of no event is infinite."""
        value: float | None
        if self.service is None:
            value = getattr(outcome, self.figure)
        else:
            depth = next((one for one in outcome.depths if one.service == self.service), None)
            if depth is None:
                return f"{self.text}: {self.service} was never called"
            value = getattr(depth, self.figure)
        if value is None and self.figure == "recovery":
            value = float("inf")
        if value is None:
            return f"{self.text}: there was nothing to measure"
        if _RELATIONS[self.relation](value, self.bound):
            return None
        said = "it never did" if value == float("inf") else f"it was {value:.4g}{'s' if self.figure in SECONDS else ''}"
        return f"{self.text}: {said}"
