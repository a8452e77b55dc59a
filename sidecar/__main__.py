"""The command `sidecar`, also as `python -m sidecar`.

It needs the extra `proxy`, and `sidecar gate` the extra `gate`; without them one line says so.
"""

import importlib
import sys
from typing import Final

_PROXY: Final = frozenset(
    {"aiohttp", "click", "httptools", "prometheus_client", "rich", "structlog", "uvloop", "watchfiles"}
)
_LACKING: Final = "only the client library is installed, and the command needs more: pip install 'retry-sidecar[proxy]'"
_GATE: Final = "referencing"
_LACKING_GATE: Final = "the review gate needs the extra `gate`: pip install 'retry-sidecar[gate]'"


def main() -> None:
    """Run the command. Exit code 2 where an extra that it needs is not installed.

    A subcommand is imported when it is called, so that import may fail, too; a traceback would mean exit code 1.
    """
    try:
        importlib.import_module("sidecar.cli").main()
    except ModuleNotFoundError as error:
        if error.name not in _PROXY and error.name != _GATE:
            raise
        sys.stderr.write(f"{_LACKING_GATE if error.name == _GATE else _LACKING}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
