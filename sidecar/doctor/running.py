"""A sidecar that runs with this configuration, if there is one: what it says of itself on its admin plane."""

import http.client
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sidecar import __version__
from sidecar.doctor.diagnosis import Check, Diagnosis, fine, found, unjudged
from sidecar.net import Address
from sidecar.telemetry.headline import Level
from sidecar.watch.document import LiveDocument, Unreadable, decode, fetch
from sidecar.watch.readiness import NotAnswered, Readiness, ask

_SECONDS_ASKED: Final = 2
_ILL: Final = {Level.LIMITING.value, Level.FAILING.value, Level.AMPLIFYING.value}
_INTERCEPTED: Final = re.compile(
    r'^sidecar_intercepted_connections_total\{outcome="(?:http|tls|opaque|silent)"\} (\d+)', re.MULTILINE
)
_METRICS_CEILING_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Companion:
    """The answer at the admin address. `document` None: it is ready or not, and says no more to us."""

    admin: Address
    readiness: Readiness
    document: LiveDocument | None
    intercepted: int | None
    """Connections that came in on its transparent listeners."""


def companion(admin: Address, seconds: float) -> Companion | None:
    """The sidecar that answers there; None where none does. Only what is read is asked for."""
    try:
        readiness = ask(admin, seconds)
    except NotAnswered:
        return None
    try:
        document = decode(fetch(admin, _SECONDS_ASKED), f"http://{admin}/")
    except Unreadable:
        document = None
    return Companion(admin, readiness, document, _intercepted(admin, seconds))


def running(admin: Address, other: Companion | None) -> Iterator[Diagnosis]:
    """Judge what it says."""
    if other is None:
        if admin.port:
            what = f"no sidecar answers at {admin}: what is said here is about one that would start"
            yield unjudged(Check.RUNNING, what, "start it: sidecar run, with the same flags")
        return
    for reason in other.readiness.reasons:
        yield found("sidecar_not_ready", reason, "wait until it has started or drained; its log says more")
    for warning in other.readiness.warnings:
        yield found("sidecar_warns", warning, "see docs/policy-sources.md, or the page at its admin port")
    document = other.document
    if document is None:
        yield unjudged(Check.RUNNING, f"the sidecar at {admin} answers, and does not say what one of this version says")
        return
    if document.version != __version__:
        what = f"{document.version} runs, this is {__version__}"
        yield found("version_differs", what, "run doctor from the same installation, or the same image")
    if document.policy.error:
        cure = "mend the policy, or its source; then it is loaded by itself (kill -HUP does so at once)"
        yield found("policy_not_taken", document.policy.error, cure)
    for name, count in document.bypassing.items():
        what = f"{count} open connections of the service go straight to {name}"
        cure = "give the service the sidecar's address for it, or redirect it: docs/runbooks/SidecarBypassed.md"
        yield found("bypassed", what, cure)
    for destination in document.destinations:
        if destination.level in _ILL:
            what = f"{destination.name}: breaker {destination.breaker.state}, {destination.lately.bad} of "
            what += f"{destination.lately.requests} requests of the last seconds failed"
            yield found("destination_degraded", what, f"sidecar top --admin {admin}")
    yield fine(
        Check.RUNNING, f"{document.service} {document.version} at {admin}, policy version {document.policy.version}"
    )


def _intercepted(admin: Address, seconds: float) -> int | None:
    connection = http.client.HTTPConnection(admin.host, admin.port, timeout=seconds)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read(_METRICS_CEILING_BYTES).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    counts = _INTERCEPTED.findall(text)
    return sum(map(int, counts)) if counts else None
