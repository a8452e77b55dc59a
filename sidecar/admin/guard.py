"""Middleware of every view: authentication, security headers, and the form of errors."""

import ipaddress
import logging
from collections.abc import Awaitable, Callable, Collection
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from sidecar.admin.token import AdminToken
from sidecar.connection_limit import ConnectionLimit
from sidecar.governance.loading.updater import Tell
from sidecar.telemetry.line_limit import LineLimit

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LOOPBACK_NAMES: Final = frozenset({"localhost", "ip6-localhost", "localhost.localdomain"})

SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "sidecar",  # and no version, which scanners look for
}

CHANGES: Final = frozenset({hdrs.METH_POST, hdrs.METH_PUT, hdrs.METH_PATCH, hdrs.METH_DELETE})

_REFUSALS_PER_SECOND: Final = 1.0
_REFUSALS_BURST: Final = 20

_log = logging.getLogger("sidecar.admin")


def problem(status: HTTPStatus, detail: str) -> web.Response:
    """An RFC 9457 answer. `detail` is for a person and names what was wrong."""
    body = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/problem+json")


class Guard:
    """Its `middleware` is aiohttp's. `hosts` are the names it answers to beside loopback's and any address.

    A page on the web can make a browser ask us under its own name once that name resolves to 127.0.0.1 (DNS rebinding);
    its Host header gives it away. An address can not be rebound, so every address is accepted.
    """

    def __init__(self, hosts: Collection[str], token: AdminToken, tell: Tell, clock: Callable[[], float]) -> None:
        """`tell` hears of every change that is asked for; `clock` is monotonic, in seconds."""
        self._hosts = LOOPBACK_NAMES | {host.lower().rstrip(".") for host in hosts}
        self._token = token
        self._tell = tell
        self._clock = clock
        self._refusal_lines = LineLimit(_REFUSALS_PER_SECOND, _REFUSALS_BURST, clock())

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse, or answer; with the security headers either way."""
        refused = self.refusal(request)
        response = refused or await _answered(request, handler)
        if self._is_change(request) and (refused is None or self._refusal_lines.take(self._clock())):
            self._tell(
                logging.INFO if response.status < HTTPStatus.BAD_REQUEST else logging.WARNING,
                "admin_change",
                method=request.method,
                path=request.path[:100],
                peer=request.remote,
                status=response.status,
                refused=refused is not None,
            )
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)  # the live page has a policy of its own
        return response

    def refusal(self, request: web.Request) -> web.Response | None:
        """The answer that refuses this request; None when it is admitted."""
        host = request.headers.get(hdrs.HOST, "")
        if not self._is_ours(host):
            return problem(HTTPStatus.MISDIRECTED_REQUEST, f"this sidecar is not called {host[:100]!r}")
        if not self._is_change(request):
            return None
        # Only browsers send these, and no page of ours changes anything.
        if hdrs.ORIGIN in request.headers or request.headers.get("Sec-Fetch-Site", "none") != "none":
            return problem(HTTPStatus.FORBIDDEN, "changes are not accepted from a browser's page (Origin)")
        try:
            if self._token.matches(request.headers.get(hdrs.AUTHORIZATION, "")):
                return None
        except OSError as error:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, error.strerror or str(error))
        where = "set admin.token_file" if self._token.file is None else f"it is in {self._token.file}"
        refused = problem(HTTPStatus.UNAUTHORIZED, f"this needs 'Authorization: Bearer' with the admin token; {where}")
        refused.headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="sidecar admin"'
        return refused

    @staticmethod
    def _is_change(request: web.Request) -> bool:
        """Not where nothing is: to be told so needs no permission."""
        return request.method in CHANGES and request.match_info.http_exception is None

    def _is_ours(self, host: str) -> bool:
        name = _without_port(host).lower().rstrip(".")
        return name == "" or name in self._hosts or name.endswith(".localhost") or _is_address(name)


def counting(limit: ConnectionLimit) -> Middleware:
    """A middleware that tells `limit` when a request is complete and when its answer is made."""

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        transport = request.transport
        limit.asked(transport)
        try:
            return await handler(request)
        finally:
            limit.answered(transport)

    return count


def _without_port(host: str) -> str:
    if host.startswith("["):
        address, closed, _ = host[1:].partition("]")
        return address if closed else host
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        refused = problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.path[:100]} does not know {error.method[:20]}")
        refused.headers[hdrs.ALLOW] = ", ".join(sorted(error.allowed_methods))
        return refused
    except web.HTTPNotFound:
        return problem(HTTPStatus.NOT_FOUND, f"nothing is at {request.path[:100]}; see /")
    except web.HTTPException as error:
        return problem(HTTPStatus(error.status), error.reason)
    except Exception:  # noqa: BLE001 - the edge: a view that fails must not look like an answer, nor show its insides
        _log.exception("admin view failed: %s", request.path[:100])
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the view failed; the log says why")
