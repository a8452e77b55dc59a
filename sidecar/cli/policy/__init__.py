"""`sidecar policy`: the work of those who write, review and approve policies; one module per command."""

from typing import Final

from sidecar.cli.lazy import LazyGroup

_COMMANDS: Final = {
    "check": "Judge policies and sidecar files, as CI does.",
    "keygen": "Make a pair of keys for a signer of policies.",
    "sign": "Sign a policy.",
    "verify": "Check the signatures of a policy.",
    "import": "Translate the retries of Envoy, Istio, Linkerd or resilience4j.",
    "diff": "Say what a change of the policy loosens, and for whom.",
    "explain": "Say why each number is what it is.",
    "schema": "Print the JSON Schema of a document, for editors.",
}

policy: Final = LazyGroup("policy", "sidecar.cli.policy", _COMMANDS, help="Check, compare and explain policies.")
