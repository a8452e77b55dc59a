"""A directory as the place of a policy: one document with one name, for it has one version and one signature.

A second one beside it does not govern; a warning says so.
"""

import os
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

POLICY_NAME: Final = "policy.yaml"
"""The file of the policy in a directory of which only the name is given."""

GATE_NAME: Final = "gate.yaml"
"""The file of the rules of `sidecar gate`. It lies beside a policy and is no part of it."""

_SUFFIXES: Final = (".yaml", ".yml")
_LOOKED_AT: Final = 1000
_NAMED: Final = 5


def unread_documents(directory: Path) -> tuple[str, ...]:
    """A warning about documents beside the policy; empty when there are none, or the directory can not be read."""
    found = []
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in islice(entries, _LOOKED_AT):
            name = entry.name
            hidden = name.startswith(".")
            if name.endswith(_SUFFIXES) and name not in {POLICY_NAME, GATE_NAME} and not hidden and entry.is_file():
                found.append(name)
    if not found:
        return ()
    found.sort()
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return (f"{directory}: of a directory {POLICY_NAME} alone is read, and not {', '.join(found[:_NAMED])}{more}",)
