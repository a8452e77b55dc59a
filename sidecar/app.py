"""The composition root: the only place where the parts are joined. Build, run, reload, drain."""

import asyncio
import gc
import random
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Final

import uvloop

from sidecar.admin.server import AdminServer
from sidecar.admin.state import ReloadResult
from sidecar.engine.destination import Destination
from sidecar.engine.outcome import Result
from sidecar.engine.shadow import Shadow
from sidecar.engine.tally import Tally
from sidecar.governance.documents.document import INGRESS_NAME
from sidecar.governance.documents.finding import Finding
from sidecar.governance.loading.certified import Certified
from sidecar.governance.loading.clock_watch import ClockWatch
from sidecar.governance.loading.loader import Loaded, PolicyLoader
from sidecar.governance.loading.rollout import Load
from sidecar.governance.loading.sources import WatchedFiles
from sidecar.governance.loading.updater import PolicyUpdater, Source
from sidecar.governance.policy.guardrails import written
from sidecar.governance.policy.resolve import Origin
from sidecar.governance.policy.snapshot import Snapshot
from sidecar.governance.policy.uses import ExceptionUses
from sidecar.governance.policy.waivers import State, begins_at, ends_at, state_of
from sidecar.governance.trust.certificates import CertificateStore, Renewal
from sidecar.net import Address
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.listener import Listener, NoSuchAddress, bind
from sidecar.proxy.pool import Pool
from sidecar.proxy.router import UNLISTED, Route, Router
from sidecar.proxy.tls_contexts import TlsContexts
from sidecar.telemetry import subject
from sidecar.telemetry.access_log import LINES_BURST, LINES_PER_SECOND, AccessLog
from sidecar.telemetry.history import History, Sampler
from sidecar.telemetry.line_limit import LineLimit
from sidecar.telemetry.log import Log
from sidecar.telemetry.loop_lag import LoopLag
from sidecar.telemetry.recorders import Recorders
from sidecar.telemetry.subject import Connections, ExceptionLife, PolicyIdentity, PolicyStanding
from sidecar.telemetry.tracing import Tracing, open_tracing
from sidecar.wire.writer import VIA

_GC_THRESHOLD: Final = 50_000
"""Young objects between two collections. Exchanges are freed by reference counting, so that collecting often only costs
time. A leak of cycles would show 50,000 objects later, some 10 MB."""
_FLUSH_SECONDS: Final = 1.0
_DRAIN_LOOK: Final = 0.02
_LAST_SPANS_SECONDS: Final = 2.0


def wall_clock() -> datetime:
    """The time of the world, by which exceptions begin and end."""
    return datetime.now(UTC)


class Sidecar:
    """One process: its data plane, its admin plane, and the policy that governs both. Implements `admin.AdminState`.

    `loaded` is the first of what `source` gives; `governance.loading.updater` says what becomes of the next. `wall` is
    the time by which exceptions begin and end.
    """

    def __init__(self, source: Source, loaded: Loaded, log: Log, wall: Callable[[], datetime] = wall_clock) -> None:
        snapshot = self._snapshot = loaded.snapshot
        self._log = log
        self._wall = wall
        self._started = False
        self._draining = asyncio.Event()
        self._ended = asyncio.Event()
        self._tracing: Tracing | None = None
        self._certificates = CertificateStore()
        self._certificates.adopt(snapshot.certificate_files)
        self._tls_contexts = TlsContexts(self._certificates)
        loop = asyncio.get_running_loop()
        limit = LineLimit(LINES_PER_SECOND, LINES_BURST, time.monotonic())
        self._history = History(time.monotonic)
        access_log = AccessLog(log, limit, time.monotonic, loop.call_later)
        self._context = ProxyContext(loop, Recorders(access_log, self._history))
        self._lag = LoopLag(loop, time.monotonic)
        self._sampler = Sampler(loop, self._history, lambda: self.destinations)
        self._unlisted_tally = Tally()
        self._routes: dict[str, Route] = {}
        self._listeners: dict[Address, Listener] = {}
        self._absent: set[Address] = set()
        """Addresses that this machine does not have and that nobody misses."""
        self._ingress: Route | None = None
        self._admin = AdminServer(self, time.monotonic)
        self._router = self._build_router(snapshot)
        certified = Certified(source, self._certificates, lambda: self._snapshot, self._renewed)
        self._updater = PolicyUpdater(certified, loaded, self, log.logger.log, wall=lambda: wall().timestamp())
        self._try_out(loaded.candidate)
        self._uses = ExceptionUses()
        self._clock_watch = ClockWatch(wall, loop.call_later, self._look)
        self._watched_certificates = WatchedFiles(self._certificates.paths, "")

    # Running

    async def start(self) -> None:
        """Bind everything and serve. Raises OSError, its message naming what can not be had; nothing is bound then.

        Raises TracingUnavailable where traces are asked for without the extra that they need.
        """
        if (traces := self._snapshot.traces) is not None:
            self._tracing = self._context.tracer = open_tracing(traces.endpoint, traces.sample, self._snapshot.service)
        try:
            await self._start()
        except OSError:
            await self.close()
            raise

    async def _start(self) -> None:
        snapshot = self._snapshot
        for address, sock in self._bind(snapshot):
            self._listeners[address] = Listener(self._context, sock, self._router, None, connect=False)
        self._assign(snapshot)
        addresses = {(listener.address.host, listener.address.port) for listener in self._listeners.values()}
        self._context.own_addresses = frozenset(addresses)
        self._lag.start()
        self._sampler.start()
        admin = await self._admin.start(snapshot.admin)
        if snapshot.metrics_listen is not None:
            await self._admin.start(snapshot.metrics_listen, probes_only=True)
        for listener in self._listeners.values():
            await listener.start()
        for route in self._routes.values():
            route.pool.refresh()
        self._started = True
        self._clock_watch.follow(snapshot.turns)
        self._look(self._wall())
        for warning in snapshot.warnings:
            self._log.logger.warning("policy_warning", warning=warning)
        for note in snapshot.waiting:
            self._log.logger.warning("policy_warning", warning=str(note))
        self._tell_left_out({})
        self._log.lifecycle(
            "start",
            service=snapshot.service,
            policy_version=snapshot.version,
            digest=snapshot.policy_digest[:12],
            origin=self._updater.loaded.origin.value,
            admin=f"http://{admin}",
            listen=[f"http{'s' if listener.tls else ''}://{listener.address}" for listener in self._listeners.values()],
            destinations={name: [str(e) for e in d.endpoints] for name, d in snapshot.destinations.items()},
        )

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT has been obeyed: drained, or at once by a second one. Call `start` before."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number.name)
        loop.add_signal_handler(signal.SIGHUP, self._updater.reload_soon)
        watches = [
            loop.create_task(self._updater.run()),
            loop.create_task(self._watched_certificates.watch(self._renew_certificates)),
        ]
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD, 20, 50)
        try:
            await self._draining.wait()
            await self._drain()
        finally:
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
            await self.close()

    async def close(self) -> None:
        """Break what is left and free the ports."""
        for listener in self._listeners.values():
            listener.close()
        self._router.close()
        if self._ingress is not None:
            self._ingress.pool.close()
        self._context.wheel.close()
        self._lag.stop()
        self._sampler.stop()
        self._clock_watch.stop()
        await self._admin.stop()
        if self._tracing is not None and not await asyncio.to_thread(self._tracing.close, _LAST_SPANS_SECONDS):
            self._log.logger.warning("traces_lost", **self._tracing.spans)

    async def reload(self) -> ReloadResult:
        """Read the documents again. What is wrong leaves the last good snapshot, and all state, in force."""
        self._look(self._wall())
        findings = await self._updater.reload()
        return ReloadResult(
            ok=not findings,
            version=self._snapshot.version,
            findings=list(map(asdict, findings)),
            left_out=[asdict(finding) for each in self._snapshot.left_out.values() for finding in each],
        )

    # governance.loading.updater.Host

    def put_in_force(self, loaded: Loaded) -> None:
        """Adopt a snapshot, in one step as far as requests can see."""
        self._adopt(loaded.snapshot)
        self._try_out(loaded.candidate)

    def loads(self) -> Mapping[str, Load]:
        """What each destination was sent since the start."""
        return {
            name: Load(destination.tally.attempts_total, _sent(destination))
            for name, destination in self.destinations.items()
        }

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
        snapshot = self._snapshot
        for name in self._tls_contexts.follow(snapshot):
            if name in self._routes:
                self._routes[name].pool.renew()
        for address, listener in self._listeners.items():
            if snapshot.ingress is not None and address == snapshot.ingress.listen:
                listener.tls = self._tls_contexts.server

    def _adopt(self, snapshot: Snapshot) -> None:
        self._settle_uses()
        older = self._router
        before, self._snapshot = self._snapshot, snapshot
        self._clock_watch.follow(snapshot.turns)
        self._watched_certificates.follow(self._certificates.paths, "")
        self._router = self._build_router(snapshot)
        self._router.adopt_unlisted(older)
        wanted = self._assign(snapshot)
        for route in self._routes.values():
            route.pool.refresh()
        if wanted - self._absent != set(self._listeners) or snapshot.admin != before.admin:
            self._log.logger.warning("restart_needed", reason="addresses to listen on have changed")
        if snapshot.traces != before.traces:
            self._log.logger.warning("restart_needed", reason="where traces go has changed")
        self._tell_left_out(before.left_out)

    def _tell_left_out(self, told: Mapping[str, Sequence[Finding]]) -> None:
        for name, findings in self._snapshot.left_out.items():
            for finding in findings:
                if finding not in told.get(name, ()):
                    self._log.logger.error("override_left_out", destination=name, finding=str(finding))

    def _bind(self, snapshot: Snapshot) -> list[tuple[Address, socket.socket]]:
        """A socket for every address. Raises PortTaken, and binds nothing then."""
        bound: dict[Address, socket.socket] = {}
        try:
            for destination in snapshot.destinations.values():
                self._bind_one_of(destination.listen, bound)
            if snapshot.ingress is not None:
                self._bind_one_of((snapshot.ingress.listen,), bound)
            self._bind_one_of(snapshot.egress.listen, bound)
        except OSError:
            for sock in bound.values():
                sock.close()
            raise
        return list(bound.items())

    def _bind_one_of(self, addresses: Sequence[Address], bound: dict[Address, socket.socket]) -> None:
        """Bind all of these that are not `bound` yet, or, where the machine has no IPv6, those that are of IPv4."""
        for address in sorted(addresses, key=lambda address: ":" in address.host):
            if address in bound:
                continue
            try:
                bound[address] = bind(address)
            except NoSuchAddress as error:
                if ":" not in address.host or bound.keys().isdisjoint(addresses):
                    raise
                self._absent.add(address)
                self._log.logger.warning("not_listening", address=str(address), reason=error.strerror)

    def _assign(self, snapshot: Snapshot) -> set[Address]:
        """Tell every listener what it is for; the addresses there should be."""
        wanted: dict[Address, Route | None] = dict.fromkeys(snapshot.egress.listen)
        for name, destination in snapshot.destinations.items():
            wanted.update(dict.fromkeys(destination.listen, self._routes[name]))
        ingress = snapshot.ingress
        if ingress is not None:
            wanted[ingress.listen] = self._ingress
        for address in self._listeners.keys() - wanted.keys():
            self._listeners.pop(address).retire()
        for address, listener in self._listeners.items():
            listener.turn_to(
                self._router,
                wanted[address],
                connect=snapshot.egress.connect == "tunnel",
                ingress=ingress is not None and address == ingress.listen,
                tls=self._tls_contexts.server,
            )
        return set(wanted)

    def _try_out(self, candidate: Snapshot | None) -> None:
        """Let a candidate shadow what is in force from now on, its counts beginning anew; None: nothing does."""
        now = self._context.clock()
        for name, route in self._routes.items():
            settings = None if candidate is None else candidate.destinations.get(name)
            route.shadow = None if settings is None else Shadow(route.destination, settings.policy, random.random, now)

    def _look(self, now: datetime) -> None:
        """What exceptions begin or end by `now` begins or ends, without any document being read again."""
        before, after = self._snapshot, self._snapshot.at(now)
        if after is before:
            return
        self._updater.turned(after)
        self._adopt(after)
        for grant, was, state in zip(before.exceptions, before.states, after.states, strict=True):
            if was is not state:
                word = "exception_begun" if state is State.LIVE else "exception_ended"
                self._log.logger.warning(word, exception=grant.id, state=state.value, numbers=_moved(before, after))

    def _settle_uses(self) -> Mapping[str, int]:
        requests = {name: route.destination.tally.requests_total for name, route in self._routes.items()}
        if self._ingress is not None:
            requests[INGRESS_NAME] = self._ingress.destination.tally.requests_total
        return self._uses.settle(self._snapshot, requests)

    def _build_router(self, snapshot: Snapshot) -> Router:
        context = self._context
        context.limits = snapshot.limits
        context.answers.clear()
        context.via = VIA if snapshot.via else b""
        context.policy_version = snapshot.version
        context.sample = snapshot.access_log_sample
        now = context.clock()
        spoken_otherwise = self._tls_contexts.follow(snapshot)
        routes: dict[str, Route] = {}
        hosts: dict[str, str] = {}
        for name, settings in snapshot.destinations.items():
            route = self._routes.get(name)
            if route is None:
                destination = Destination(name, settings.policy, random.random, now)
                pool = Pool(context, settings.endpoints, random.random, partial(self._tls_contexts.client, name))
                route = Route(name, destination, pool)
            else:
                route.destination.adopt(settings.policy, now)
                route.pool.adopt(settings.endpoints)
                if name in spoken_otherwise:
                    route.pool.renew()
                route.refresh()
            route.destination.draining = context.draining
            routes[name] = route
            hosts.update(dict.fromkeys(settings.hosts, name))
        for name, route in self._routes.items():
            if name not in routes:
                route.pool.close()
        self._routes = routes
        self._ingress = self._ingress_route(snapshot, now)
        return Router(
            context,
            routes,
            hosts,
            snapshot.unlisted,
            random.random,
            lambda: self._tls_contexts.usual,
            forward_unlisted=snapshot.egress.unlisted == "forward",
            tally=self._unlisted_tally,
        )

    def _ingress_route(self, snapshot: Snapshot, now: float) -> Route | None:
        """The way to the service itself: a destination like others, under a policy of its own."""
        ingress = snapshot.ingress
        route = self._ingress
        if ingress is None:
            if route is not None:
                route.pool.close()
            return None
        if route is None:
            destination = Destination(INGRESS_NAME, ingress.policy, random.random, now)
            pool = Pool(self._context, (ingress.app,), random.random, lambda: self._tls_contexts.usual)
            route = Route(INGRESS_NAME, destination, pool, keeps_host=True)
        else:
            route.destination.adopt(ingress.policy, now)
            route.pool.adopt((ingress.app,))
            route.refresh()
        route.destination.draining = self._context.draining
        return route

    def _every_route(self) -> list[Route]:
        """The destinations', the way to the service, and those of unlisted hosts."""
        ingress = [] if self._ingress is None else [self._ingress]
        return [*self._routes.values(), *ingress, *self._router.unlisted]

    def _stop(self, name: str) -> None:
        if self._draining.is_set():
            self._log.lifecycle("stop", signal=name, abandoned=self._context.busy)
            self._ended.set()
        else:
            self._log.lifecycle("drain", signal=name, in_flight=self._context.busy, seconds=self._snapshot.drain)
            self._draining.set()

    async def _drain(self) -> None:
        """Finish what is under way, serving on meanwhile; everything said from now on says goodbye."""
        context = self._context
        context.draining = True
        for route in self._every_route():
            route.destination.draining = True
        until = context.clock() + self._snapshot.drain
        while context.busy and context.clock() < until and not self._ended.is_set():  # noqa: ASYNC110 - once in a life
            await asyncio.sleep(_DRAIN_LOOK)
        for listener in self._listeners.values():
            listener.close_idle()
        until = context.clock() + _FLUSH_SECONDS
        while context.connections and context.clock() < until and not (context.busy or self._ended.is_set()):  # noqa: ASYNC110
            await asyncio.sleep(_DRAIN_LOOK)
        self._log.lifecycle("stop", abandoned=context.busy)

    # admin.AdminState

    def ready(self) -> Sequence[str]:
        """Why it is not ready, one sentence each; empty when it is."""
        if self._draining.is_set():
            return ["draining: finishing what is under way before the end"]
        return [] if self._started else ["starting: not every port is bound yet"]

    @property
    def destinations(self) -> Mapping[str, Destination]:
        """The destinations in force, and the unlisted host that was used last, with the counts of all of them."""
        destinations = {name: route.destination for name, route in self._routes.items()}
        if self._ingress is not None:
            destinations[INGRESS_NAME] = self._ingress.destination
        if unlisted := self._router.unlisted:
            destinations[UNLISTED] = unlisted[-1].destination
        return destinations

    @property
    def rejections(self) -> Mapping[str, int]:
        """Messages that were refused for their bytes, by reason."""
        return self._context.rejections

    @property
    def policy(self) -> PolicyIdentity:
        """The policy in force."""
        snapshot = self._snapshot
        return PolicyIdentity(snapshot.version, snapshot.policy_digest[:12] or "built-in")

    @property
    def reloads(self) -> subject.Reloads:
        """How loading it went."""
        reloads = self._updater.reloads
        return subject.Reloads(reloads.successes, reloads.failures, reloads.in_force_since, reloads.last_error)

    @property
    def standing(self) -> PolicyStanding:
        """How the policy in force came to be."""
        updater = self._updater
        loaded = updater.loaded
        expires = loaded.snapshot.expires
        return PolicyStanding(
            origin=loaded.origin.value,
            rollout=loaded.rollout.value,
            aborts=updater.aborts,
            source_age=updater.age,
            expires=None if expires is None else expires.timestamp(),
        )

    def warnings(self) -> Sequence[str]:
        """What an operator should know although it is ready."""
        snapshot = self._snapshot
        left_out = [f"left out: {finding}" for each in snapshot.left_out.values() for finding in each]
        return [*self._updater.warnings, *snapshot.warnings, *map(str, snapshot.waiting), *left_out]

    @property
    def left_out(self) -> Mapping[str, int]:
        """Overrides that are not in force because the exception they need is over, counted by destination."""
        left_out = self._snapshot.left_out
        return {name: len(left_out.get(name, ())) for name in self.destinations}

    @property
    def shadows(self) -> Mapping[str, Shadow]:
        """What a candidate policy would decide, where there is one."""
        return {name: route.shadow for name, route in self._routes.items() if route.shadow is not None}

    @property
    def exceptions(self) -> Sequence[ExceptionLife]:
        """The exceptions that the policy has for this service."""
        uses = self._settle_uses()
        return [
            ExceptionLife(grant.id, ends_at(grant.exception).timestamp(), uses[grant.id])
            for grant in self._snapshot.exceptions
        ]

    @property
    def certificates(self) -> subject.CertificateRenewals:
        """How reading certificates again went."""
        store = self._certificates
        error = "\n".join(map(str, store.findings)) or None
        return subject.CertificateRenewals(store.successes, store.failures, error)

    @property
    def handshake_failures(self) -> Mapping[str, int]:
        """Callers of the service whose TLS handshake failed, by reason."""
        return self._context.handshake_failures

    @property
    def log_lines_dropped(self) -> Mapping[str, int]:
        """Lines that were not written, by reason."""
        return self._log.dropped

    @property
    def spans(self) -> Mapping[str, int]:
        """Spans by what became of them, where traces are on."""
        return {} if self._tracing is None else self._tracing.spans

    @property
    def event_loop_lag(self) -> float:
        """Seconds by which the loop was late, lately."""
        return self._lag.seconds

    def connections(self) -> Connections:
        """Connections, counted now."""
        counts = {name: route.pool.counts() for name, route in self._routes.items()}
        if self._ingress is not None:
            counts[INGRESS_NAME] = self._ingress.pool.counts()
        if unlisted := self._router.unlisted:
            both = [route.pool.counts() for route in unlisted]
            counts[UNLISTED] = (sum(active for active, _ in both), sum(idle for _, idle in both))
        return Connections(
            self._context.connections,
            self._context.tunnels,
            {name: active for name, (active, _) in counts.items()},
            {name: idle for name, (_, idle) in counts.items()},
        )

    @property
    def history(self) -> History:
        """The last fifteen minutes."""
        return self._history

    def endpoints(self) -> Mapping[str, Sequence[str]]:
        """The addresses of each destination, and of the service itself."""
        snapshot = self._snapshot
        return {
            **{name: [str(e) for e in destination.endpoints] for name, destination in snapshot.destinations.items()},
            **({} if snapshot.ingress is None else {INGRESS_NAME: [str(snapshot.ingress.app)]}),
        }

    def policy_view(self) -> Mapping[str, object]:
        """The policy in force, each number with its origin, and the exceptions as they stand at this instant."""
        now = self._wall()
        self._look(now)
        snapshot = self._snapshot
        loaded = self._updater.loaded
        return {
            "version": snapshot.version,
            "origin": loaded.origin.value,
            "offered": loaded.offered,
            "rollout": loaded.rollout.value,
            "dry_run": {name: _differences(shadow) for name, shadow in self.shadows.items()},
            "expires": None if snapshot.expires is None else snapshot.expires.isoformat(),
            "warnings": list(self.warnings()),
            "owner": snapshot.owner,
            "digest": snapshot.policy_digest,
            "service": snapshot.service,
            "files": [str(file) for file in snapshot.files],
            "destinations": {
                name: _origins(destination.provenance) for name, destination in snapshot.destinations.items()
            },
            **({} if snapshot.ingress is None else {INGRESS_NAME: _origins(snapshot.ingress.provenance)}),
            UNLISTED: _origins(snapshot.unlisted_provenance),
            "exceptions": _exceptions(snapshot, self._settle_uses(), now),
        }


def _origins(provenance: Mapping[str, Origin]) -> dict[str, object]:
    return {
        field: {
            "value": origin.value,
            "source": origin.source.value,
            "place": origin.place,
            **({} if origin.exception is None else {"exception": origin.exception}),
        }
        for field, origin in sorted(provenance.items())
    }


def _exceptions(snapshot: Snapshot, uses: Mapping[str, int], now: datetime) -> list[dict[str, object]]:
    """The exceptions for this service. `remaining_seconds` are those of its life; 0 before and after."""
    asked = {
        excepted.grant.id: excepted.asked.place
        for resolution in snapshot.resolutions.values()
        for excepted in resolution.excepted.values()
    }
    views: list[dict[str, object]] = []
    for grant in snapshot.exceptions:
        exception = grant.exception
        state = state_of(exception, now)
        remaining = (ends_at(exception) - now).total_seconds()
        views.append(
            {
                "id": grant.id,
                "state": state.value,
                "remaining_seconds": remaining if state is State.LIVE else 0.0,
                "begins": begins_at(exception).isoformat(),
                "expires": ends_at(exception).isoformat(),
                "destination": exception.destination,
                "setting": exception.setting,
                "value": written(grant.value),
                "asked_at": asked.get(grant.id),
                "uses": uses[grant.id],
                "owner": exception.owner,
                "approved_by": exception.approved_by,
                "ticket": exception.ticket,
                "reason": exception.reason,
                "place": grant.place,
            }
        )
    return views


def _moved(before: Snapshot, after: Snapshot) -> list[str]:
    """The numbers that differ, as `ledger budget.ratio 0.35 -> 0.1`."""
    return [
        f"{name} {setting} {origin.value} -> {resolution.provenance[setting].value}"
        for name, resolution in after.resolutions.items()
        for setting, origin in before.resolutions[name].provenance.items()
        if origin.value != resolution.provenance[setting].value
    ]


def _differences(shadow: Shadow) -> dict[str, int]:
    kinds = {difference.value: count for difference, count in shadow.differences.items()}
    return {"decisions": shadow.compared, **kinds}


def _sent(destination: Destination) -> int:
    """Requests that are over and were sent: those that were not triggered no attempt."""
    return destination.tally.requests_total - destination.tally.requests[Result.REFUSED]


def serve(loader: PolicyLoader, log: Log, *, strict: bool) -> None:
    """Run one sidecar to its end. Raises InvalidDocument when it can not begin, and OSError naming an address."""

    async def main() -> None:
        loaded = await loader.first(strict=strict)
        sidecar = Sidecar(loader, loaded, log)
        await sidecar.start()
        await sidecar.run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    log.close()
