"""`sidecar idempotency`: the work of those who operate a gate, or publish its contract; one module per command."""

from typing import Final

from sidecar.cli.lazy import LazyGroup

_COMMANDS: Final = {
    "show": "Show a key, or every key whose outcome is unknown.",
    "resolve": "Say how an unknown outcome ended, by name and with a reason.",
    "erase": "Let go of the contents of one caller's answers.",
    "reconcile": "Compare keys with a payment provider's export.",
    "conform": "Test whether an endpoint keeps the contract.",
    "contract": "Compare two versions of the partner contract.",
}

idempotency: Final = LazyGroup(
    "idempotency", "sidecar.cli.idempotency", _COMMANDS, help="Keys, their contract, and whether it is kept."
)
