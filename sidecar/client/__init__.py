"""The sidecar's engine in process, for code that cannot run a sidecar: scripts, jobs, partners.

    from sidecar.client import load

    retries = load("sidecar.yaml")                     # the same two documents, judged by the same guardrails
    payments = retries["payments"]
    receipt = payments.call(lambda attempt: charge(100, attempt.headers, attempt.remaining), idempotency_key=True)

Adapters for HTTP libraries are modules of their own: `sidecar.client.httpx`, `.aiohttp` and `.requests`. No argument
anywhere switches the budget off, sets a fixed delay, or retries a write that was not declared safe to repeat.
"""

import importlib
from typing import TYPE_CHECKING, Final

from sidecar.client.attempt import Attempt
from sidecar.client.errors import CallFailed, CallRefused, CallTimedOut
from sidecar.client.failure import Failure
from sidecar.client.governed import GovernedDestination
from sidecar.client.observer import CallObserver
from sidecar.client.retries import Retries

if TYPE_CHECKING:
    from sidecar.client.documents import load, of_values

__all__ = [
    "Attempt",
    "CallFailed",
    "CallObserver",
    "CallRefused",
    "CallTimedOut",
    "Failure",
    "GovernedDestination",
    "Retries",
    "load",
    "of_values",
]

_READERS: Final = frozenset({"load", "of_values"})


def __getattr__(name: str) -> object:
    """Import what reads documents at its first use (PEP 562): with YAML and schemas it takes three times the rest."""
    if name in _READERS:
        return getattr(importlib.import_module("sidecar.client.documents"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
