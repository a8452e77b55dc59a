"""One sidecar from its start to its end: bind, serve, drain, close."""

import asyncio
import gc
import os
import signal
import socket
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

import uvloop

from sidecar.admin.token import AdminToken
from sidecar.app.build import RouteTable
from sidecar.app.bypass_watch import BypassWatch
from sidecar.app.control_plane import ControlPlane
from sidecar.app.hand_over import HandOver, HandOverFailed, take
from sidecar.app.key_gate import GateKeeping, gate_of
from sidecar.app.key_probes import KeyProbes
from sidecar.app.listening_sockets import ListeningSockets, passed_by_systemd
from sidecar.app.reload import BACKGROUND_TASKS, PolicyInForce, wall_clock
from sidecar.app.state import Phase, RunningState
from sidecar.background import BackgroundTasks
from sidecar.governance.loading.loader import Loaded, PolicyLoader
from sidecar.governance.loading.updater import SnapshotSource
from sidecar.governance.trust.certificates import CertificateStore
from sidecar.idempotency.store import UnfitStore
from sidecar.net import Address, Endpoint
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.open_files import caller_connections, raise_limit
from sidecar.telemetry.access_log import LINES_BURST, LINES_PER_SECOND, AccessLog
from sidecar.telemetry.history import History, Sampler
from sidecar.telemetry.line_limit import LineLimit
from sidecar.telemetry.log import Log, LogLevel
from sidecar.telemetry.loop_lag import LoopLag
from sidecar.telemetry.recorders import Recorders
from sidecar.telemetry.tracing import Tracing, open_tracing

_GC_THRESHOLD: Final = 50_000
"""Young objects between two collections. Exchanges are freed by reference counting, so that collecting often only costs
time. A leak of cycles would show 50,000 objects later, some 10 MB."""
_FLUSH_SECONDS: Final = 1.0
_FAREWELL_SECONDS: Final = 5.0
"""For which callers keep their idle connections after a hand-over: one that asks meanwhile is told to close its own."""
_DRAIN_LOOK: Final = 0.02
_LAST_SPANS_SECONDS: Final = 2.0


class Sidecar:
    """One process: its data plane, its admin plane, and the policy that governs both.

    `loaded` is the first of what `source` gives. `wall` is the time by which exceptions begin and end. `sockets` has
    those that were given to the process.
    """

    def __init__(
        self,
        source: SnapshotSource,
        loaded: Loaded,
        log: Log,
        wall: Callable[[], datetime] = wall_clock,
        sockets: ListeningSockets | None = None,
    ) -> None:
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._sockets = sockets or ListeningSockets({})
        self._hand_over: HandOver | None = None
        self._handed_over = False
        self._serve_until = 0.0
        self._draining = asyncio.Event()
        self._ended = asyncio.Event()
        self._tracing: Tracing | None = None
        certificates = CertificateStore()
        certificates.adopt(loaded.snapshot.certificate_files)
        loop = self._loop
        limit = LineLimit(LINES_PER_SECOND, LINES_BURST, time.monotonic())
        history = History(time.monotonic)
        access_log = AccessLog(log, limit, time.monotonic, loop.call_later)
        self._context = ProxyContext(loop, Recorders(access_log, history))
        self._lag = LoopLag(loop, time.monotonic)
        gate = gate_of(loaded.snapshot.ingress)
        self._gate_keeping = None
        if gate is not None and loaded.snapshot.ingress is not None:
            probes = KeyProbes(gate, self._service)
            self._gate_keeping = GateKeeping(gate, self._tell, probes, loaded.snapshot.ingress.key_store)
        self.route_table = RouteTable(self._context, certificates, loaded.snapshot, gate)
        self._sampler = Sampler(loop, history, lambda: self.route_table.destinations)
        self._background = BackgroundTasks(BACKGROUND_TASKS, log.logger.log)
        self.policy = PolicyInForce(source, loaded, self.route_table, certificates, log, self._background, wall)
        self.state = RunningState(
            self.route_table, self.policy, certificates, history, self._lag, log, self._background
        )
        self._bypass_watch = BypassWatch(self.route_table.destination_sockets, self.route_table.interception_ports)
        self.state.bypassing = lambda: self._bypass_watch.counts
        self._token = AdminToken(loaded.snapshot.admin_token_file)
        self._control_plane = ControlPlane(self.state, self._token, time.monotonic, log.logger.log)

    async def start(self) -> None:
        """Bind everything and serve. Raises OSError, its message naming what can not be had; nothing is bound then.

        Raises UnfitStore where the store of idempotency keys would lose keys, and TracingUnavailable where traces are
        asked for without the extra that they need.
        """
        snapshot = self.policy.snapshot
        if (traces := snapshot.traces) is not None:
            self._tracing = open_tracing(traces.endpoint, traces.sample, snapshot.service)
            self._context.tracer = self.state.tracing = self._tracing
        try:
            await self._start()
        except (OSError, UnfitStore):
            await self.close()
            raise

    async def _start(self) -> None:
        snapshot = self.policy.snapshot
        route_table = self.route_table
        self._context.max_connections = caller_connections(raise_limit())
        route_table.listen(snapshot, self._sockets, self._not_listening)
        control = self._control_plane.bind(snapshot, self._sockets)
        if unclaimed := self._sockets.close_unclaimed():
            self._log.logger.warning("sockets_unclaimed", addresses=unclaimed)
        if self._gate_keeping is not None:
            await self._gate_keeping.start()
        self._lag.start()
        self._sampler.start()
        route_table.keep_away_from(control, snapshot)
        listeners = route_table.listeners.values()
        for listener in listeners:
            await listener.start()
        route_table.resolve()
        await self._control_plane.open()
        self.state.phase = Phase.SERVING
        self.policy.start()
        self._background.keep("bypass_watch", self._bypass_watch.run)
        self._log.lifecycle(
            "start",
            service=snapshot.service,
            policy_version=snapshot.version,
            digest=snapshot.policy_digest[:12],
            origin=self.policy.updater.loaded.origin.value,
            admin=f"http://{control[0]}",
            admin_token_file=None if self._token.file is None else str(self._token.file),
            listen=[f"http{'s' if listener.tls else ''}://{listener.address}" for listener in listeners],
            destinations={name: [str(e) for e in d.endpoints] for name, d in snapshot.destinations.items()},
        )

    def offer(self, path: Path) -> None:
        """Give the listening sockets to the process that asks for them at `path`, and drain. Raises HandOverFailed."""
        self._hand_over = HandOver(path, self._listening, self._give_way_to)
        self._hand_over.open()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT has been obeyed: drained, or at once by a second one. Call `start` before."""
        loop = self._loop
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number.name)
        loop.add_signal_handler(signal.SIGHUP, self.policy.updater.reload_soon)
        self.policy.follow()
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD, 20, 50)
        try:
            await self._draining.wait()
            await self._drain()
        finally:
            await self.close()

    async def close(self) -> None:
        """Break what is left and free the ports."""
        if self._hand_over is not None:
            self._hand_over.close()
        await self._background.close()
        self.route_table.close()
        self._lag.stop()
        self._sampler.stop()
        self.policy.stop()
        if self._gate_keeping is not None:
            await self._gate_keeping.stop()
        await self._control_plane.close()
        if self._tracing is not None and not await asyncio.to_thread(self._tracing.close, _LAST_SPANS_SECONDS):
            self._log.logger.warning("traces_lost", **self._tracing.spans)

    def _stop(self, name: str) -> None:
        if self._draining.is_set():
            self._log.lifecycle("stop", signal=name, abandoned=self._context.busy)
            self._ended.set()
        else:
            least = 0.0 if name == "SIGINT" else self.policy.snapshot.minimum_drain  # Ctrl-C drains at once
            self._begin_drain(least, signal=name)

    def _begin_drain(self, least: float, **because: object) -> None:
        drain = self.policy.snapshot.drain
        self._log.lifecycle("drain", **because, in_flight=self._context.busy, seconds=drain)
        self.state.phase = Phase.DRAINING
        self._serve_until = self._context.clock() + min(least, drain)
        self._draining.set()

    async def _drain(self) -> None:
        """Finish what is under way, serving on meanwhile; every answer from now on closes its connection."""
        context = self._context
        context.draining = True
        for route in self.route_table.every_route():
            route.destination.draining = not self._handed_over  # a restart in place refuses no retry
        until = context.clock() + self.policy.snapshot.drain
        await asyncio.sleep(_DRAIN_LOOK)  # a connection that was accepted just now is not counted yet
        if self._sockets.outlive_us and not self._handed_over:
            # Under load there is always a request under way: the next process gets its turn once the first are over.
            under_way = self.route_table.under_way()
            await self._wait_while(lambda: any(map(self.route_table.holds, under_way)), until)
            self.route_table.stop_accepting()
            self._handed_over, self._serve_until = True, context.clock() + _FLUSH_SECONDS
            await asyncio.sleep(_DRAIN_LOOK)
        await self._wait_while(self._serving_on, until)
        abandoned = context.busy
        self.route_table.close_idle()
        self.route_table.close_tunnels()
        await self._wait_while(lambda: context.connections > 0, context.clock() + _FLUSH_SECONDS)
        self._log.lifecycle("stop", abandoned=abandoned)

    async def _wait_while(self, lasts: Callable[[], bool], until: float) -> None:
        """While that is so, until that instant of the engine's time, or a second signal."""
        while lasts() and self._context.clock() < until and not self._ended.is_set():  # noqa: ASYNC110 - once in a life
            await asyncio.sleep(_DRAIN_LOOK)

    def _serving_on(self) -> bool:
        context = self._context
        if context.busy or context.joining:
            return True
        if self._handed_over and not context.connections:
            return False
        return context.clock() < self._serve_until

    # hand_over.HandOver, on its thread

    def _listening(self) -> dict[str, socket.socket]:
        async def listening() -> dict[str, socket.socket]:
            return {**self.route_table.sockets, **self._control_plane.sockets}

        return asyncio.run_coroutine_threadsafe(listening(), self._loop).result()

    def _give_way_to(self, pid: int, version: str) -> None:
        async def give_way() -> None:
            self.route_table.stop_accepting()
            await self._control_plane.stop()
            if not self._draining.is_set():
                self._handed_over = True
                self._begin_drain(_FAREWELL_SECONDS, handed_over_to=pid, version=version)

        asyncio.run_coroutine_threadsafe(give_way(), self._loop).result()

    def _service(self) -> Endpoint | None:
        ingress = self.policy.snapshot.ingress
        return None if ingress is None else ingress.app

    def _tell(self, level: str, event: str, **fields: object) -> None:
        self._log.logger.log(LogLevel(level).number, event, **fields)

    def _not_listening(self, address: Address, reason: str) -> None:
        self._log.logger.warning("not_listening", address=str(address), reason=reason)


def serve(loader: PolicyLoader, log: Log, *, strict: bool, hand_over: Path | None = None) -> None:
    """Run one sidecar to its end. Raises InvalidDocument when it can not begin, and OSError naming an address.

    `hand_over` is where it takes the listening sockets of the sidecar before it, and offers them to the next one.
    """

    async def main() -> None:
        loaded = await loader.first(strict=strict)
        given = passed_by_systemd(os.environ)
        activated = bool(given)
        taken = None if hand_over is None else await asyncio.to_thread(take, hand_over)
        if taken is not None:
            given.update(taken.sockets)
            log.lifecycle("take_over", pid=taken.pid, version=taken.version, sockets=sorted(taken.sockets))
        sidecar = Sidecar(loader, loaded, log, sockets=ListeningSockets(given, outlive_us=activated))
        await sidecar.start()
        if taken is not None:
            await asyncio.to_thread(taken.ready)
        try:
            if hand_over is not None:
                sidecar.offer(hand_over)
        except HandOverFailed:
            await sidecar.close()
            raise
        await sidecar.run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    log.close()
