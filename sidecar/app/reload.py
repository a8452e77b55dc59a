"""The policy in force: what a reload, the clock and renewed certificates change while requests go on."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from msgspec.structs import asdict

from sidecar.admin.state import ReloadResult
from sidecar.app.build import RouteTable
from sidecar.background import BackgroundTasks
from sidecar.engine.destination import Destination
from sidecar.engine.outcome import Result
from sidecar.governance.documents.finding import Finding
from sidecar.governance.loading.certified import Certified
from sidecar.governance.loading.clock_watch import ClockWatch
from sidecar.governance.loading.loader import Loaded
from sidecar.governance.loading.rollout import Load
from sidecar.governance.loading.sources import WatchedFiles
from sidecar.governance.loading.updater import BACKGROUND_TASKS as UPDATER_TASKS
from sidecar.governance.loading.updater import PolicyUpdater, SnapshotSource
from sidecar.governance.policy.snapshot import Snapshot
from sidecar.governance.policy.uses import ExceptionUses
from sidecar.governance.policy.waivers import State
from sidecar.governance.trust.certificates import CertificateStore, Renewal
from sidecar.telemetry.log import Log


def wall_clock() -> datetime:
    """The time of the world, by which exceptions begin and end."""
    return datetime.now(UTC)


BACKGROUND_TASKS: Final = (*UPDATER_TASKS, "certificate_watch", "bypass_watch")
"""The names of background tasks."""


class PolicyInForce:
    """The snapshot in force, and what takes its place. Implements `governance.loading.updater.Host`.

    `loaded` is the first of what `source` gives, in force in the data plane already; `governance.loading.updater` says
    what becomes of the next. `wall` is the time by which exceptions begin and end.
    """

    def __init__(
        self,
        source: SnapshotSource,
        loaded: Loaded,
        route_table: RouteTable,
        certificates: CertificateStore,
        log: Log,
        background: BackgroundTasks,
        wall: Callable[[], datetime] = wall_clock,
    ) -> None:
        self.snapshot = loaded.snapshot
        self._route_table = route_table
        self._certificates = certificates
        self._log = log
        self._wall = wall
        self._background = background
        certified = Certified(source, certificates, lambda: self.snapshot, self._renewed)
        self.updater = PolicyUpdater(
            certified, loaded, self, log.logger.log, background, wall=lambda: wall().timestamp()
        )
        self._uses = ExceptionUses()
        self._clock_watch = ClockWatch(wall, asyncio.get_running_loop().call_later, self._look)
        self._watched_certificates = WatchedFiles(certificates.paths, "")
        route_table.shadow(loaded.candidate)

    def start(self) -> None:
        """Keep up with the clock, and tell what an operator should know from the start."""
        snapshot = self.snapshot
        self._clock_watch.follow(snapshot.turns)
        self.now()
        logger = self._log.logger
        for warning in (*snapshot.warnings, *map(str, snapshot.waiting)):
            logger.warning("policy_warning", warning=warning)
        self._tell_left_out({})

    def follow(self) -> None:
        """Keep up with the source and with the files of certificates, until the background tasks are closed."""
        self.updater.start()
        self._background.keep("certificate_watch", partial(self._watched_certificates.watch, self._renew_certificates))

    def stop(self) -> None:
        """Keep up no more."""
        self._clock_watch.stop()

    def now(self) -> datetime:
        """The time of the world; what exceptions begin or end by then has begun or ended."""
        now = self._wall()
        self._look(now)
        return now

    async def reload(self) -> ReloadResult:
        """Read the documents again. What is wrong leaves the last good snapshot, and all state, in force."""
        self.now()
        findings = await self.updater.reload()
        return ReloadResult(
            ok=not findings,
            version=self.snapshot.version,
            findings=list(map(asdict, findings)),
            left_out=[asdict(finding) for each in self.snapshot.left_out.values() for finding in each],
        )

    def uses(self) -> Mapping[str, int]:
        """The number of requests that each exception of the policy changed the outcome of, by its id."""
        routes = self._route_table.routes
        requests = {name: route.destination.tally.requests_total for name, route in routes.items()}
        return self._uses.settle(self.snapshot, requests)

    # governance.loading.updater.Host

    def put_in_force(self, loaded: Loaded) -> None:
        """Adopt a snapshot, in one step as far as requests can see."""
        self._adopt(loaded.snapshot)
        self._route_table.shadow(loaded.candidate)

    def loads(self) -> Mapping[str, Load]:
        """Attempts and requests of each destination since the start."""
        return {
            name: Load(destination.tally.attempts_total, _sent(destination))
            for name, destination in self._route_table.destinations.items()
        }

    def _adopt(self, snapshot: Snapshot) -> None:
        self.uses()
        before, self.snapshot = self.snapshot, snapshot
        self._clock_watch.follow(snapshot.turns)
        self._watched_certificates.follow(self._certificates.paths, "")
        listens = self._route_table.adopt(snapshot)
        logger = self._log.logger
        if not listens or snapshot.admin != before.admin:
            logger.warning("restart_needed", reason="addresses to listen on have changed")
        if _key_store_differs(before, snapshot):
            logger.warning("restart_needed", reason="where idempotency keys are kept has changed")
        if snapshot.traces != before.traces:
            logger.warning("restart_needed", reason="where traces go has changed")
        self._tell_left_out(before.left_out)

    def _look(self, now: datetime) -> None:
        """Apply the exceptions that begin or end by `now`, without reading a document again."""
        before, after = self.snapshot, self.snapshot.at(now)
        if after is before:
            return
        self.updater.turned(after)
        self._adopt(after)
        for grant, was, state in zip(before.exceptions, before.states, after.states, strict=True):
            if was is not state:
                word = "exception_begun" if state is State.LIVE else "exception_ended"
                self._log.logger.warning(word, exception=grant.id, state=state.value, numbers=_moved(before, after))

    async def _renew_certificates(self) -> None:
        """Read all certificates again; what is wrong leaves the last good ones in use."""
        self._renewed(self._certificates.renew())

    def _renewed(self, renewal: Renewal) -> None:
        """Certificates have been read: say what came of it, and use those that are good."""
        for finding in renewal.findings:
            self._log.logger.error("certificate_refused", finding=str(finding), reason="the last good one stays in use")
        if renewal.renewed:
            names = [str(file.path) for files in renewal.renewed for file in files]
            self._log.lifecycle("certificates_renewed", files=names)
        self._route_table.renew_tls(self.snapshot)

    def _tell_left_out(self, told: Mapping[str, Sequence[Finding]]) -> None:
        for name, findings in self.snapshot.left_out.items():
            for finding in findings:
                if finding not in told.get(name, ()):
                    self._log.logger.error("override_left_out", destination=name, finding=str(finding))


def _key_store_differs(before: Snapshot, after: Snapshot) -> bool:
    was, now = before.ingress, after.ingress
    if was is None or now is None:
        return False
    return was.key_store != now.key_store or bool(was.routes) != bool(now.routes)


def _moved(before: Snapshot, after: Snapshot) -> list[str]:
    """The numbers that differ, as `ledger budget.ratio 0.35 -> 0.1`."""
    return [
        f"{name} {setting} {origin.value} -> {resolution.provenance[setting].value}"
        for name, resolution in after.resolutions.items()
        for setting, origin in before.resolutions[name].provenance.items()
        if origin.value != resolution.provenance[setting].value
    ]


def _sent(destination: Destination) -> int:
    """Requests that are over and were sent: those that were not triggered no attempt."""
    return destination.tally.requests_total - destination.tally.requests[Result.REFUSED]
