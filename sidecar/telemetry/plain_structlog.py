"""structlog without rich, which it imports where it is installed, to draw tracebacks that are not used here.

rich is for commands that people look at. In a proxy it would be 3.2 MB of memory (RSS) beside every pod.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _absent(name: str) -> Iterator[None]:
    """Make imports of the module fail from now on, unless it is imported already."""
    there = name in sys.modules
    if not there:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if not there:
            del sys.modules[name]


with _absent("rich"):
    import structlog as structlog  # noqa: PLC0414 - for others to import from here
