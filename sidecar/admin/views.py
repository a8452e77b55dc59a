"""The views of the admin plane. Each reads the state at the request; only the reload changes it."""

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import hdrs, web

from sidecar.admin.guard import SECURITY_HEADERS, problem
from sidecar.admin.key_views import KeyViews
from sidecar.admin.state import AdminState
from sidecar.engine.destination import Destination
from sidecar.engine.histogram import Histogram
from sidecar.engine.outcome import AttemptKind, Result
from sidecar.telemetry.exporter import MetricsExporter
from sidecar.telemetry.exposition import negotiate

MAX_SCRAPES: Final = 8
"""At once: each holds a megabyte while it is read, and the listener for scrapers may be open to a whole cluster."""
SCRAPE_SECONDS: Final = 20.0
"""Seconds that a scraper may take to read a scrape."""
INDEX: Final = {
    "/": "the live page; as JSON with ?format=json",
    "/events": "what the live page is fed by: server-sent events",
    "/runbooks/README": "what to do about each alert",
    "/refusals": "what each word of refusal means and what to do; of one alone with /refusals/WORD",
    "/livez": "200 while the event loop turns",
    "/readyz": "200 when ready, 503 with the reasons when not",
    "/metrics": "Prometheus text, OpenMetrics when asked",
    "/policy": "the policy in force, where each number came from, and the last reload",
    "/destinations": "requests, attempts, refusals, budget, breaker and limit of each destination",
    "POST /policy/reload": "load the policy now",
    "POST /idempotency/show": "a key and its journal, by id or by route, key and scope; all unknown ones: /unknown",
    "POST /idempotency/resolve": "say how an unknown outcome ended",
}


class Views:
    """The routes over one AdminState. `clock` gives the engine's time, in seconds."""

    def __init__(self, state: AdminState, exporter: MetricsExporter, clock: Callable[[], float]) -> None:
        self._state = state
        self._exporter = exporter
        self._clock = clock
        self._scrapes = 0

    def probes(self) -> list[web.RouteDef]:
        """The routes of kubelet and scrapers, and no others."""
        return [
            web.get("/livez", self.livez),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.metrics),
        ]

    def everything(self) -> list[web.RouteDef]:
        """All of them."""
        return [
            *self.probes(),
            web.get("/policy", self.policy),
            web.get("/destinations", self.destinations),
            web.post("/policy/reload", self.reload),
            *KeyViews(self._state).routes(),
        ]

    async def livez(self, _: web.Request) -> web.Response:
        """That this is answered is the whole answer."""
        return web.Response(text="ok\n")

    async def readyz(self, _: web.Request) -> web.Response:
        """Whether traffic may come."""
        reasons = list(self._state.ready())
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        warnings = list(self._state.warnings())
        return _json({"ready": not reasons, "reasons": reasons, "warnings": warnings}, status)

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """A scrape, written in the pieces that it is made in: a megabyte at once would delay all requests."""
        if self._scrapes >= MAX_SCRAPES:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, f"{MAX_SCRAPES} scrapes are under way already")
        content_type = negotiate(request.headers.get(hdrs.ACCEPT, ""))
        response = web.StreamResponse(headers={**SECURITY_HEADERS, hdrs.CONTENT_TYPE: content_type})
        self._scrapes += 1
        try:
            pieces = await self._exporter.scrape(content_type)
            response.content_length = sum(map(len, pieces))
            async with asyncio.timeout(SCRAPE_SECONDS):
                await response.prepare(request)
                if request.method != hdrs.METH_HEAD:
                    for piece in pieces:
                        await response.write(piece)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # the scraper has gone
        finally:
            self._scrapes -= 1
        return response

    async def policy(self, _: web.Request) -> web.Response:
        """The policy in force and how loading it last went."""
        reloads = self._state.reloads
        last = {
            "ok": reloads.error is None,
            "error": reloads.error,
            "loaded_at": reloads.loaded_at,
            "succeeded": reloads.succeeded,
            "failed": reloads.failed,
        }
        return _json({**self._state.policy_view(), "reload": last})

    async def destinations(self, _: web.Request) -> web.Response:
        """Every destination's numbers."""
        now = self._clock()
        endpoints = self._state.endpoints()
        views = [
            {"name": name, "endpoints": list(endpoints.get(name, ())), **view_of(destination, now)}
            for name, destination in self._state.destinations.items()
        ]
        return _json({"destinations": views})

    async def reload(self, _: web.Request) -> web.Response:
        """Load the policy: 200 when it is in force, 422 with what is wrong when the last good one stays."""
        result = await self._state.reload()
        status = HTTPStatus.OK if result.ok else HTTPStatus.UNPROCESSABLE_ENTITY
        view = {
            "ok": result.ok,
            "version": result.version,
            "findings": list(result.findings),
            "left_out": list(result.left_out),
        }
        return _json(view, status)


def view_of(destination: Destination, now: float) -> dict[str, object]:
    """One destination as JSON. Counts are since the start; seconds; quantiles are estimated from buckets."""
    tally = destination.tally
    requests = tally.requests_total
    attempts = tally.attempts_total
    sent = requests - tally.requests[Result.REFUSED]
    breaker = destination.breaker
    limiter = destination.limiter
    return {
        "requests": requests,
        "requests_by_outcome": dict(zip(_labels(Result), tally.requests, strict=True)),
        "attempts": attempts,
        "attempts_by_kind": dict(zip(_labels(AttemptKind), map(sum, tally.attempts), strict=True)),
        "retries_by_cause": dict(tally.retries),
        "retry_successes": tally.retry_successes,
        "refusals": {refusal.value: count for refusal, count in tally.refusals.items()},
        "amplification": {
            "last_10s": destination.amplification(now),
            "overall": attempts / sent if sent else 1.0,
        },
        "budget": {
            "balance": destination.budget.balance(now),
            "retry_ratio": destination.retry_ratio(now),
            "exhausted": destination.budget.exhausted,
        },
        "breaker": {
            "state": breaker.state(now).value,
            "retry_after": breaker.retry_after(now),
            "transitions": {state.value: count for state, count in breaker.transitions.items()},
        },
        "concurrency": {
            "state": limiter.state.value,
            "limit": limiter.limit,
            "in_flight": limiter.awaited,
            "waiting": len(limiter.waiting),
        },
        "latency": {
            "request": _quantiles(tally.request_seconds),
            "attempt": _quantiles(tally.attempt_seconds),
        },
    }


def _labels(enumeration: type[Result] | type[AttemptKind]) -> list[str]:
    return [member.label for member in enumeration]


def _quantiles(histogram: Histogram) -> dict[str, float]:
    return {"p50": histogram.quantile(0.5), "p99": histogram.quantile(0.99)}


def _json(value: Mapping[str, object], status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    body = msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2)
    return web.Response(status=status, body=body + b"\n", content_type="application/json")
