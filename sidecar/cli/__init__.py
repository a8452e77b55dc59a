"""The command `sidecar`: one module per command, each loaded only when it is called.

Exit codes: 0 fine, 1 findings, 2 could not judge or run.
"""

from typing import Final

import click

from sidecar import __version__
from sidecar.cli.lazy import LazyGroup

_COMMANDS: Final = {
    "run": "Run the proxy.",
    "demo": "Show what retries do to a dependency that blips, with and without the sidecar.",
    "intercept": "Redirect a service's calls to the sidecar by rules of the kernel.",
    "health": "Say whether a running sidecar is ready, for probes.",
    "doctor": "Say what is wrong with a sidecar here, why it matters, and its cure.",
    "top": "Show what a running sidecar does, in the terminal.",
    "report": "Tell an incident on one page, for those who were not there.",
    "init": "Write a commented sidecar file and policy to begin with.",
    "explain": "Say what would happen to a request, and which rule decides.",
    "inject": "Add the sidecar to Kubernetes manifests, or take it out again.",
    "webhook": "Add the sidecar to pods when they are created.",
    "policy": "Check, compare and explain policies.",
    "gate": "Judge API descriptions: is every operation that moves money safe to repeat?",
    "idempotency": "Keys of a gate, their contract, and whether an endpoint keeps it.",
    "simulate": "Simulate a fleet under a policy: does a blip stay a blip?",
    "vectors": "Check a client in any language against the cases that the sidecar passes.",
}


main = click.version_option(__version__, prog_name="sidecar")(
    LazyGroup(
        "sidecar",
        "sidecar.cli",
        _COMMANDS,
        help="Retries as a fleet property: a proxy beside each service that owns its retries.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
)
