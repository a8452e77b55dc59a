"""Which core each part runs on, so that a proxy's cost is its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Cores:
    """Core numbers. Two or all three are the same one where the machine has too few."""

    proxy: int
    generator: int
    upstream: int

    @classmethod
    def share(cls, available: set[int]) -> Self:
        """One core for the proxy; the rest for load and upstream, apart if there are enough."""
        ordered = sorted(available)
        proxy, generator, upstream = (ordered[min(index, len(ordered) - 1)] for index in range(3))
        return cls(proxy, generator, upstream)

    def described(self) -> str:
        if self.proxy == self.generator:
            return (
                f"one core only: proxy, generator and upstream share core {self.proxy}; latencies are not to be trusted"
            )
        if self.generator == self.upstream:
            return f"proxy on core {self.proxy}, generator and upstream together on core {self.generator}"
        return f"proxy on core {self.proxy}, generator on core {self.generator}, upstream on core {self.upstream}"


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Run on one core meanwhile. A process started inside stays there, with every thread it makes."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
