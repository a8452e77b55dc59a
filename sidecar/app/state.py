"""The state of the process, as the admin plane and the metrics read it, each time they ask."""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Final

from sidecar.admin.policy_view import policy_view
from sidecar.admin.state import ReloadResult
from sidecar.app.build import RouteTable
from sidecar.app.reload import PolicyInForce
from sidecar.background import BackgroundTasks
from sidecar.engine.destination import UNLISTED, Destination
from sidecar.engine.shadow import Shadow
from sidecar.governance.documents.document import INGRESS_NAME
from sidecar.governance.policy.waivers import ends_at
from sidecar.governance.trust.certificates import CertificateStore
from sidecar.idempotency.desk import KeyDesk
from sidecar.idempotency.gate import KeyOutcome, ProbeOutcome
from sidecar.telemetry import metrics_source
from sidecar.telemetry.history import History
from sidecar.telemetry.log import Log
from sidecar.telemetry.loop_lag import LoopLag
from sidecar.telemetry.metrics_source import (
    Connections,
    ExceptionLife,
    KeyStoreHealth,
    PolicyIdentity,
    PolicyStanding,
    RouteCounts,
)
from sidecar.telemetry.tracing import Tracing

UNMANAGED: Final = (
    "unmanaged: no authority file of the platform says whose policy governs, so that the service's own file does"
)


class Phase(Enum):
    """The phase of the process; the value says why it is not ready then, and is empty when it is."""

    STARTING = "starting: not every port is bound yet"
    SERVING = ""
    DRAINING = "draining: finishing what is under way before the end"


class RunningState:
    """Implements `admin.state.AdminState`. `phase` and `tracing` are set as the process goes through its life."""

    def __init__(
        self,
        route_table: RouteTable,
        policy: PolicyInForce,
        certificates: CertificateStore,
        history: History,
        lag: LoopLag,
        log: Log,
        background: BackgroundTasks,
    ) -> None:
        self.phase = Phase.STARTING
        self.tracing: Tracing | None = None
        self.history = history
        self.bypassing: Callable[[], Mapping[str, int]] = dict
        """Connections to each destination that do not go through here, as of the last look."""
        self._route_table = route_table
        self._policy = policy
        self._certificates = certificates
        self._lag = lag
        self._log = log
        self._background = background

    def ready(self) -> Sequence[str]:
        """The reasons why it is not ready, one sentence each; empty when it is."""
        return [self.phase.value] if self.phase.value else []

    @property
    def destinations(self) -> Mapping[str, Destination]:
        """The destinations in force, and one unlisted host, with the counts of all of them."""
        return self._route_table.destinations

    @property
    def routes(self) -> Mapping[str, Sequence[RouteCounts]]:
        """The routes of each destination that has any, with what was counted of them."""
        return {
            name: [RouteCounts(call.name, call.requests, call.attempts) for call in route.calls.routes]
            for name, route in self._route_table.routes.items()
            if route.calls.routes
        }

    @property
    def rejections(self) -> Mapping[str, int]:
        """Messages that were refused for their bytes, by reason."""
        return self._route_table.context.rejections

    @property
    def policy(self) -> PolicyIdentity:
        """The policy in force."""
        snapshot = self._policy.snapshot
        return PolicyIdentity(snapshot.version, snapshot.policy_digest[:12] or "built-in")

    @property
    def reloads(self) -> metrics_source.PolicyReloads:
        """The results of loading the policy."""
        reloads = self._policy.updater.reloads
        return metrics_source.PolicyReloads(
            reloads.successes, reloads.failures, reloads.in_force_since, reloads.last_error
        )

    @property
    def standing(self) -> PolicyStanding:
        """The origin of the policy in force."""
        updater = self._policy.updater
        loaded = updater.loaded
        expires = loaded.snapshot.expires
        return PolicyStanding(
            origin=loaded.origin.value,
            rollout=loaded.rollout.value,
            aborts=updater.aborts,
            source_age=updater.age,
            expires=None if expires is None else expires.timestamp(),
            managed=loaded.snapshot.managed,
            outdated=loaded.snapshot.outdated,
        )

    def warnings(self) -> Sequence[str]:
        """Warnings for an operator that do not make it unready."""
        snapshot = self._policy.snapshot
        left_out = [f"left out: {finding}" for each in snapshot.left_out.values() for finding in each]
        unmanaged = [] if snapshot.managed else [UNMANAGED]
        return [*unmanaged, *self._policy.updater.warnings, *snapshot.warnings, *map(str, snapshot.waiting), *left_out]

    @property
    def left_out(self) -> Mapping[str, int]:
        """Overrides that are not in force because the exception they need is over, counted by destination."""
        left_out = self._policy.snapshot.left_out
        return {name: len(left_out.get(name, ())) for name in self.destinations}

    @property
    def shadows(self) -> Mapping[str, Shadow]:
        """The differences of a candidate policy, where there is one."""
        routes = self._route_table.routes
        return {
            name: route.shadow
            for name, route in routes.items()
            if route.shadow is not None and route.shadow is not route.observation
        }

    @property
    def observations(self) -> Mapping[str, Shadow]:
        """The decisions of a policy that is only observed, by destination in that mode."""
        routes = self._route_table.routes
        return {name: route.observation for name, route in routes.items() if route.observation is not None}

    @property
    def exceptions(self) -> Sequence[ExceptionLife]:
        """The exceptions that the policy has for this service."""
        uses = self._policy.uses()
        return [
            ExceptionLife(grant.id, ends_at(grant.exception).timestamp(), uses[grant.id])
            for grant in self._policy.snapshot.exceptions
        ]

    @property
    def certificates(self) -> metrics_source.CertificateRenewals:
        """The results of reading certificates again."""
        store = self._certificates
        error = "\n".join(map(str, store.findings)) or None
        return metrics_source.CertificateRenewals(store.successes, store.failures, error)

    @property
    def keys(self) -> KeyDesk | None:
        """The idempotency keys of the service's own routes."""
        gate = self._route_table.gate
        return None if gate is None else KeyDesk(gate)

    @property
    def key_outcomes(self) -> Mapping[str, Mapping[str, int]]:
        """Counts of requests with a key, by route and outcome."""
        gate = self._route_table.gate
        if gate is None:
            return {}
        counts = gate.counts
        return {
            route.name: {outcome.value: counts.get(route.name, {}).get(outcome, 0) for outcome in KeyOutcome}
            for route in gate.routes
            if route.contract is not None
        }

    @property
    def key_probes(self) -> Mapping[str, Mapping[str, int]]:
        """Answers of the service about keys whose outcome was unknown, by route that has a probe."""
        gate = self._route_table.gate
        if gate is None:
            return {}
        counts = gate.probe_counts
        return {
            route.name: {outcome.value: counts.get(route.name, {}).get(outcome, 0) for outcome in ProbeOutcome}
            for route in gate.routes
            if route.contract is not None and route.contract.probe is not None
        }

    @property
    def keys_unknown(self) -> int | None:
        """Keys whose outcome waits to be found out, as of the last look; None where there is no gate."""
        gate = self._route_table.gate
        return None if gate is None else gate.unknown_waiting

    @property
    def key_store(self) -> KeyStoreHealth | None:
        """The store of keys; None where there is no gate."""
        gate = self._route_table.gate
        if gate is None:
            return None
        register = gate.register
        return KeyStoreHealth(register.failures, register.failing, register.seconds)

    @property
    def undeclared(self) -> Mapping[str, int]:
        """Requests with side effects that no route of the service declares, by method."""
        gate = self._route_table.gate
        return {} if gate is None else gate.undeclared

    @property
    def misdirected(self) -> Mapping[str, int]:
        """Requests that were sent nowhere because of where they were addressed, by reason."""
        return self._route_table.context.misdirected

    @property
    def handshake_failures(self) -> Mapping[str, int]:
        """Callers of the service whose TLS handshake failed, by reason."""
        return self._route_table.context.handshake_failures

    @property
    def log_lines_dropped(self) -> Mapping[str, int]:
        """Lines that were not written, by reason."""
        return self._log.dropped

    @property
    def background_failures(self) -> Mapping[str, int]:
        """Failures of each background task since the start, by its name."""
        return self._background.failures

    @property
    def spans(self) -> Mapping[str, int]:
        """Spans by what became of them, where traces are on."""
        return {} if self.tracing is None else self.tracing.spans

    @property
    def event_loop_lag(self) -> float:
        """Seconds by which the loop was late, lately."""
        return self._lag.seconds

    def connections(self) -> Connections:
        """Connections, counted now."""
        route_table = self._route_table
        counts = {name: route.pool.counts() for name, route in route_table.routes.items()}
        if unlisted := route_table.unlisted.routes:
            both = [route.pool.counts() for route in unlisted]
            counts[UNLISTED] = (sum(active for active, _ in both), sum(idle for _, idle in both))
        return Connections(
            route_table.context.connections,
            route_table.context.tunnels,
            {name: active for name, (active, _) in counts.items()},
            {name: idle for name, (_, idle) in counts.items()},
            dict(route_table.context.intercepted),
            self.bypassing(),
        )

    def endpoints(self) -> Mapping[str, Sequence[str]]:
        """The addresses of each destination, and of the service itself."""
        snapshot = self._policy.snapshot
        return {
            **{name: [str(e) for e in destination.endpoints] for name, destination in snapshot.destinations.items()},
            **({} if snapshot.ingress is None else {INGRESS_NAME: [str(snapshot.ingress.app)]}),
        }

    def policy_view(self) -> Mapping[str, object]:
        """The policy in force, each number with its origin, and the exceptions as they stand at this instant."""
        now = self._policy.now()
        loaded = self._policy.updater.loaded
        return policy_view(
            self._policy.snapshot,
            now,
            origin=loaded.origin.value,
            offered=loaded.offered,
            rollout=loaded.rollout.value,
            shadows=self.shadows,
            warnings=self.warnings(),
            uses=self._policy.uses(),
        )

    async def reload(self) -> ReloadResult:
        """Read the documents again. What is wrong leaves the last good snapshot, and all state, in force."""
        return await self._policy.reload()
