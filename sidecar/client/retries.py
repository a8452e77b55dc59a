"""All destinations of a process, by name and by host."""

import time
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from random import SystemRandom
from threading import Lock
from typing import Final

from sidecar.client.dialect import USUAL_DIALECT, ClientKeyDialect
from sidecar.client.governed import GovernedDestination
from sidecar.client.observer import CallObserver
from sidecar.engine.destination import UNLISTED, Destination
from sidecar.engine.policy import DestinationPolicy

_RAND: Final = SystemRandom().random
MAX_UNLISTED: Final = 256
"""Hosts that no destination names with budget, breaker and limit of their own; all beyond share one state."""


class Retries(Mapping[str, GovernedDestination]):
    """The destinations by name. Made once for a process, by `load` or `of_values`, and shared by its threads and loops.

    Budgets, breakers and limits are per destination and process, as a sidecar's are per destination and pod.
    """

    def __init__(
        self,
        policies: Mapping[str, DestinationPolicy],
        hosts: Mapping[str, str],
        unlisted: DestinationPolicy,
        *,
        observer: CallObserver | None = None,
        rand: Callable[[], float] = _RAND,
        clock: Callable[[], float] = time.monotonic,
        dialects: Mapping[str, ClientKeyDialect] | None = None,
    ) -> None:
        """`hosts` leads from lower-cased hosts, `host:port` or `host`, to names; `unlisted` is for all others.

        `dialects` are of destinations that want keys otherwise than in the header Idempotency-Key, by name.
        """
        self._dialects = dialects or {}
        self._observer = observer
        self._rand = rand
        self._clock = clock
        self._named = {name: self._governed(name, policy) for name, policy in policies.items()}
        self._hosts = {host: self._named[name] for host, name in hosts.items()}
        self._unlisted_policy = unlisted
        self._unlisted: dict[str, GovernedDestination] = {}
        self._beyond = self._governed(UNLISTED, unlisted)
        self._lock = Lock()

    def __getitem__(self, name: str) -> GovernedDestination:
        try:
            return self._named[name]
        except KeyError:
            near = get_close_matches(name, self._named, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise KeyError(f"no destination is called {name!r}{hint}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)

    @property
    def destinations(self) -> Mapping[str, Destination]:
        """The engine's state by name, for metrics; what is called without a name is not among them."""
        return {name: governed.engine for name, governed in self._named.items()}

    def for_host(self, host: str, port: int) -> GovernedDestination:
        """The destination that a request to `host` is for; one made for that host where none names it."""
        host = host.lower().rstrip(".")
        named = self._hosts.get(f"{host}:{port}") or self._hosts.get(host)
        if named is not None:
            return named
        address = f"{host}:{port}"
        with self._lock:
            unlisted = self._unlisted.get(address)
            if unlisted is None:
                if len(self._unlisted) >= MAX_UNLISTED:
                    return self._beyond
                unlisted = self._unlisted[address] = self._governed(UNLISTED, self._unlisted_policy)
            return unlisted

    def _governed(self, name: str, policy: DestinationPolicy) -> GovernedDestination:
        dialect = self._dialects.get(name, USUAL_DIALECT)
        return GovernedDestination(name, policy.in_force(), self._rand, self._observer, self._clock, dialect)
