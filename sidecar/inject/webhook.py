"""The mutating admission webhook: AdmissionReviews over TLS, and /livez, /readyz and /metrics on the same port."""

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import generate_latest

from sidecar.background import BackgroundTasks
from sidecar.connection_limit import ConnectionLimit
from sidecar.governance.documents.finding import Finding, InvalidDocument
from sidecar.governance.loading.reading import read
from sidecar.governance.loading.sources import WatchedFiles
from sidecar.governance.loading.updater import Tell
from sidecar.governance.trust.certificates import CertificateFile, CertificateFiles, CertificateStore
from sidecar.inject.admission import AdmissionAnswer, AdmissionOutcome, NotReviewable, review
from sidecar.inject.settings import DEFAULTS, InjectionSettings, read_settings
from sidecar.net import Address

BODY_CEILING_BYTES: Final = 8 << 20
"""A pod is at most 1.5 MiB in etcd; a review has it once or twice, as JSON."""
BODY_SECONDS: Final = 5.0
"""For a whole body. The API server gives up after 10 s by default, 30 s at most."""
LINGER_SECONDS: Final = 0.5
"""For the rest of a body that was refused, so that its sender reads why."""
HANDSHAKE_SECONDS: Final = 5.0
CONNECTIONS: Final = 256
WATCH: Final = "webhook_watch"
BACKGROUND_TASKS: Final = (WATCH,)
_LOOK_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class WebhookFiles:
    """The files that are read at the start, and again when they change. `settings` is None for the defaults."""

    certificate: Path
    key: Path
    settings: Path | None

    def certificates(self) -> CertificateFiles:
        """The certificate and its key, under the names of their flags."""
        flags = {"cert": (self.certificate, "--tls-cert"), "key": (self.key, "--tls-key")}
        named = {name: CertificateFile(path, str(path), flag, None, "") for name, (path, flag) in flags.items()}
        return CertificateFiles(**named)


class WebhookMetrics:
    """The webhook's counters."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self.admissions = Counter(
            "sidecar_webhook_admissions", "Pods, by what became of them.", ["outcome"], registry=self._registry
        )
        for admission in AdmissionOutcome:
            self.admissions.labels(admission.value)
        self.unreviewable = Counter(
            "sidecar_webhook_unreviewable", "Requests that were no AdmissionReview.", registry=self._registry
        )
        self.faults = Counter(
            "sidecar_webhook_faults", "Reviews that met a fault of the webhook's own.", registry=self._registry
        )
        self.seconds = Histogram(
            "sidecar_webhook_admission_seconds",
            "Time from a complete body to its answer.",
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1),
            registry=self._registry,
        )
        self.reloads = Counter(
            "sidecar_webhook_reloads",
            "Certificate or settings read again, by result.",
            ["document", "result"],
            registry=self._registry,
        )
        self.draining = Gauge("sidecar_webhook_draining", "1 while the webhook drains.", registry=self._registry)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)


class WebhookServer:
    """One webhook, from its start to its end. `tell` is where events go; `clock` gives seconds."""

    def __init__(self, files: WebhookFiles, tell: Tell, clock: Callable[[], float] = time.perf_counter) -> None:
        """Reads the files. Raises InvalidDocument with everything that is wrong with them."""
        self.metrics = WebhookMetrics()
        self.settings = DEFAULTS
        self._files = files
        self._tell = tell
        self._clock = clock
        self._draining = False
        self._busy = 0
        self._store = CertificateStore()
        findings: list[Finding] = []
        try:
            self._store.adopt([files.certificates()])
        except InvalidDocument as error:
            findings.extend(error.findings)
        try:
            self.settings = self._read_settings()
        except InvalidDocument as error:
            findings.extend(error.findings)
        if findings:
            raise InvalidDocument(findings)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._store[files.certificates()].load_into(self._context)
        self._limit: ConnectionLimit | None = None
        self._server: asyncio.Server | None = None
        self._runner: web.AppRunner | None = None

    async def start(self, listen: Address) -> Address:
        """Listen; the address that was had. Raises OSError."""
        loop = asyncio.get_running_loop()
        limit = self._limit = ConnectionLimit(loop.call_later, CONNECTIONS)
        app = web.Application(middlewares=[self._counted], client_max_size=BODY_CEILING_BYTES)
        app.add_routes(
            [
                web.post("/mutate", self._mutate),
                web.get("/livez", self._live),
                web.get("/readyz", self._ready),
                web.get("/metrics", self._measured),
            ]
        )
        logger = logging.getLogger("sidecar.webhook.http")
        logger.addFilter(_is_ours)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=logger,
            shutdown_timeout=1.0,
            auto_decompress=False,
            lingering_time=LINGER_SECONDS,
        )
        await self._runner.setup()
        handlers = self._runner.server
        assert handlers is not None
        self._server = await loop.create_server(
            lambda: limit.counted(handlers()),
            listen.host,
            listen.port,
            ssl=self._context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            backlog=1024,
        )
        name = self._server.sockets[0].getsockname()
        return Address(name[0], name[1])

    def watch(self, background: BackgroundTasks, *, settle: float = 0.25) -> None:
        """Read the files again when they change, until `background` is closed. `settle` is seconds."""
        paths = [*self._store.paths, *([] if self._files.settings is None else [self._files.settings])]
        watched = WatchedFiles(paths, read(paths).fingerprint, settle=settle)
        background.keep(WATCH, partial(watched.watch, self._reload))

    async def drain(self, grace: float) -> None:
        """Say that it is not ready, serve for `grace` seconds more, as endpoints take time to be left, then finish."""
        self._draining = True
        self.metrics.draining.set(1)
        self._tell(20, "drain", seconds=grace)
        await asyncio.sleep(grace)
        if self._server is not None:
            self._server.close()
        while self._busy:  # noqa: ASYNC110 - once in a life
            await asyncio.sleep(_LOOK_SECONDS)

    async def close(self) -> None:
        """Break what is left, and free the port."""
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    # Requests

    @web.middleware
    async def _counted(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        assert self._limit is not None
        transport = request.transport
        self._limit.asked(transport)
        self._busy += 1
        try:
            response = await handler(request)
            if self._draining:
                response.force_close()
            return response
        finally:
            self._busy -= 1
            self._limit.answered(transport)

    async def _mutate(self, request: web.Request) -> web.Response:
        if request.content_type not in ("application/json", "") or hdrs.CONTENT_ENCODING in request.headers:
            return self._unreviewable(415, "must be application/json, as it is")
        try:
            async with asyncio.timeout(BODY_SECONDS):
                content = await request.read()
        except TimeoutError:
            return self._unreviewable(408, f"must be whole after {BODY_SECONDS:g} s")
        except (web.RequestPayloadError, ConnectionError):
            return self._unreviewable(400, "ended too early")
        except web.HTTPRequestEntityTooLarge:
            return self._unreviewable(413, f"must be at most {BODY_CEILING_BYTES >> 20} MiB")
        began = self._clock()
        try:
            answer = review(content, self.settings)
            self.metrics.seconds.observe(self._clock() - began)
            self._record(answer)
        except NotReviewable as error:
            return self._unreviewable(400, str(error))
        except Exception as error:  # noqa: BLE001 - whatever is wrong here, no pod may wait for a webhook that fails
            self.metrics.faults.inc()
            self._tell(40, "admission_fault", fault=type(error).__name__, reason=str(error))
            return self._unreviewable(400, "could not be judged")
        return web.Response(body=answer.body, content_type="application/json")

    def _record(self, answer: AdmissionAnswer) -> None:
        self.metrics.admissions.labels(answer.admission.value).inc()
        if answer.reasons:
            self._tell(30, "not_injected", pod=answer.subject, outcome=answer.admission.value, reasons=answer.reasons)

    def _unreviewable(self, status: int, rule: str) -> web.Response:
        """The API server takes any status but 200 for a webhook that failed, and applies its failurePolicy."""
        self.metrics.unreviewable.inc()
        response = web.Response(status=status, text=f"the body {rule}\n")
        response.force_close()
        return response

    async def _live(self, _request: web.Request) -> web.Response:
        return web.Response(text="live\n")

    async def _ready(self, _request: web.Request) -> web.Response:
        return web.Response(text="draining\n", status=503) if self._draining else web.Response(text="ready\n")

    async def _measured(self, _request: web.Request) -> web.Response:
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self.metrics.text(), headers=headers)

    # Files

    def _read_settings(self) -> InjectionSettings:
        return DEFAULTS if self._files.settings is None else read_settings(self._files.settings)

    async def _reload(self) -> None:
        """Read all files again. What is wrong leaves the last good one in use."""
        renewal = await asyncio.to_thread(self._store.renew)
        if renewal.renewed:
            self._store[self._files.certificates()].load_into(self._context)
        self._reloaded("certificate", renewal.findings, changed=bool(renewal.renewed))
        try:
            settings = await asyncio.to_thread(self._read_settings)
        except InvalidDocument as error:
            self._reloaded("settings", error.findings, changed=False)
        else:
            changed, self.settings = settings != self.settings, settings
            self._reloaded("settings", (), changed=changed)

    def _reloaded(self, document: str, findings: object, *, changed: bool) -> None:
        if findings:
            self.metrics.reloads.labels(document, "failure").inc()
            reasons = [str(finding) for finding in findings] if isinstance(findings, tuple) else []
            self._tell(40, "reload_refused", document=document, findings=reasons, reason="the last good one stays")
        elif changed:
            self.metrics.reloads.labels(document, "success").inc()
            self._tell(20, "reloaded", document=document)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a line is about us: bytes that are no HTTP are answered, and may not fill the log with tracebacks."""
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)
