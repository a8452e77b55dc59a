"""The command `sidecar`, also as `python -m sidecar`. It needs the extra `proxy`; without it one line says so."""

import importlib
import sys
from typing import Final

_PROXY: Final = frozenset(
    {"aiohttp", "click", "httptools", "prometheus_client", "rich", "structlog", "uvloop", "watchfiles"}
)
_LACKING: Final = "only the client library is installed, and the command needs more: pip install 'retry-sidecar[proxy]'"


def main() -> None:
    """Run the command. Exit code 2 where only the client library is installed."""
    try:
        cli = importlib.import_module("sidecar.cli")
    except ModuleNotFoundError as error:
        if error.name not in _PROXY:
            raise
        sys.stderr.write(f"{_LACKING}\n")
        sys.exit(2)
    cli.main()


if __name__ == "__main__":
    main()
