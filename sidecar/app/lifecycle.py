"""One sidecar from its start to its end: bind, serve, drain, close."""

import asyncio
import gc
import signal
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

import uvloop

from sidecar.admin.token import AdminToken
from sidecar.app.build import RouteTable
from sidecar.app.control_plane import ControlPlane
from sidecar.app.key_gate import GateKeeping, gate_of
from sidecar.app.key_probes import KeyProbes
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
from sidecar.telemetry.log import Log
from sidecar.telemetry.loop_lag import LoopLag
from sidecar.telemetry.recorders import Recorders
from sidecar.telemetry.tracing import Tracing, open_tracing

_GC_THRESHOLD: Final = 50_000
"""Young objects between two collections. Exchanges are freed by reference counting, so that collecting often only costs
time. A leak of cycles would show 50,000 objects later, some 10 MB."""
_FLUSH_SECONDS: Final = 1.0
_DRAIN_LOOK: Final = 0.02
_LAST_SPANS_SECONDS: Final = 2.0


class Sidecar:
    """One process: its data plane, its admin plane, and the policy that governs both.

    `loaded` is the first of what `source` gives. `wall` is the time by which exceptions begin and end.
    """

    def __init__(
        self, source: SnapshotSource, loaded: Loaded, log: Log, wall: Callable[[], datetime] = wall_clock
    ) -> None:
        self._log = log
        self._draining = asyncio.Event()
        self._ended = asyncio.Event()
        self._tracing: Tracing | None = None
        certificates = CertificateStore()
        certificates.adopt(loaded.snapshot.certificate_files)
        loop = asyncio.get_running_loop()
        limit = LineLimit(LINES_PER_SECOND, LINES_BURST, time.monotonic())
        history = History(time.monotonic)
        access_log = AccessLog(log, limit, time.monotonic, loop.call_later)
        self._context = ProxyContext(loop, Recorders(access_log, history))
        self._lag = LoopLag(loop, time.monotonic)
        gate = gate_of(loaded.snapshot.ingress)
        self._gate_keeping = None if gate is None else GateKeeping(gate, self._tell, KeyProbes(gate, self._service))
        self.route_table = RouteTable(self._context, certificates, loaded.snapshot, gate)
        self._sampler = Sampler(loop, history, lambda: self.route_table.destinations)
        self._background = BackgroundTasks(BACKGROUND_TASKS, log.logger.log)
        self.policy = PolicyInForce(source, loaded, self.route_table, certificates, log, self._background, wall)
        self.state = RunningState(
            self.route_table, self.policy, certificates, history, self._lag, log, self._background
        )
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
        route_table.listen(snapshot, self._not_listening)
        control = self._control_plane.bind(snapshot)
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

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT has been obeyed: drained, or at once by a second one. Call `start` before."""
        loop = asyncio.get_running_loop()
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
            self._log.lifecycle("drain", signal=name, in_flight=self._context.busy, seconds=self.policy.snapshot.drain)
            self.state.phase = Phase.DRAINING
            self._draining.set()

    async def _drain(self) -> None:
        """Finish what is under way, serving on meanwhile; every answer from now on closes its connection."""
        context = self._context
        context.draining = True
        for route in self.route_table.every_route():
            route.destination.draining = True
        until = context.clock() + self.policy.snapshot.drain
        while context.busy and context.clock() < until and not self._ended.is_set():  # noqa: ASYNC110 - once in a life
            await asyncio.sleep(_DRAIN_LOOK)
        self.route_table.close_idle()
        until = context.clock() + _FLUSH_SECONDS
        while context.connections and context.clock() < until and not (context.busy or self._ended.is_set()):  # noqa: ASYNC110
            await asyncio.sleep(_DRAIN_LOOK)
        self._log.lifecycle("stop", abandoned=context.busy)

    def _service(self) -> Endpoint | None:
        ingress = self.policy.snapshot.ingress
        return None if ingress is None else ingress.app

    def _tell(self, level: str, event: str, **fields: object) -> None:
        getattr(self._log.logger, level)(event, **fields)

    def _not_listening(self, address: Address, reason: str) -> None:
        self._log.logger.warning("not_listening", address=str(address), reason=reason)


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
