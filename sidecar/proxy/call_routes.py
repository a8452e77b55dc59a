"""Routes within a destination: which settings a request is governed by, by its method and path.

Compiled once for each snapshot. A request is compared with the routes whose paths have as many pieces as its own, in
their order, in bytes; a destination without routes pays for one look at an empty tuple.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct, field

from sidecar.engine.lateness import Lateness
from sidecar.engine.outcome import Result
from sidecar.engine.policy import DestinationPolicy
from sidecar.governance.documents.route_match import RouteMatch


class CallRoute(Struct, eq=False):
    """One route: what its requests are governed by, and what is known and counted of them over changes of policy."""

    name: str
    match: RouteMatch
    policy: DestinationPolicy
    declared: DestinationPolicy | None = None
    """The policy of the documents, where it is only observed; None where it is `policy`."""
    lateness: Lateness = field(default_factory=Lateness)
    requests: list[int] = field(default_factory=lambda: [0] * len(Result))
    """Requests that are over, by `Result`."""
    attempts: int = 0
    """Those of requests that are over."""


class CallRoutes:
    """The routes of one destination, in their order; `routes` is empty for most."""

    __slots__ = ("_by_depth", "routes")

    def __init__(self, routes: Iterable[CallRoute] = ()) -> None:
        self.routes: Sequence[CallRoute] = tuple(routes)
        self._by_depth: dict[int, _Candidates] = {}
        for route in self.routes:
            self._by_depth.setdefault(route.match.path.depth, _Candidates()).add(route)

    def adopted(self, described: Iterable[tuple[str, RouteMatch, DestinationPolicy]]) -> "CallRoutes":
        """These instead; what is known and counted of one that stays, by its name, is kept."""
        before = {route.name: route for route in self.routes}
        routes = []
        for name, match, policy in described:
            route = CallRoute(name, match, policy.in_force(), policy if policy.observe else None)
            if (older := before.get(name)) is not None:
                route.lateness, route.requests, route.attempts = older.lateness, older.requests, older.attempts
            routes.append(route)
        return CallRoutes(routes)

    def find(self, method: bytes, target: bytes) -> CallRoute | None:
        """The first route that covers a request; None where none does. `target` is in origin form."""
        pieces = target.partition(b"?")[0].split(b"/")
        candidates = self._by_depth.get(len(pieces))
        if candidates is None or len(pieces) < 2:
            return None
        for methods, literals, route in candidates.by_first.get(pieces[1], candidates.others):
            if methods and method not in methods:
                continue
            for place, literal in literals:
                if pieces[place] != literal:
                    break
            else:
                if route.match.path.matches_segments(pieces):
                    return route
        return None


_Candidate = tuple[frozenset[bytes], tuple[tuple[int, bytes], ...], CallRoute]


class _Candidates:
    """Routes whose paths have equally many pieces: by the first one where it is a literal, `others` where it is not."""

    __slots__ = ("by_first", "others")

    def __init__(self) -> None:
        self.by_first: dict[bytes, list[_Candidate]] = {}
        self.others: list[_Candidate] = []

    def add(self, route: CallRoute) -> None:
        """One more, after those that are there."""
        literals = route.match.path.literals
        candidate = (frozenset(method.encode("ascii") for method in route.match.methods), literals, route)
        first = dict(literals).get(1)
        if first is None:
            for candidates in self.by_first.values():
                candidates.append(candidate)
            self.others.append(candidate)
        else:
            self.by_first.setdefault(first, list(self.others)).append(candidate)
