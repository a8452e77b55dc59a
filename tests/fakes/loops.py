"""The event loop that the proxy runs on in earnest, for tests of what asyncio's own does otherwise."""

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

import uvloop

P = ParamSpec("P")
R = TypeVar("R")


def on_uvloop(test: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """Run the test on uvloop."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        return uvloop.run(test(*args, **kwargs))

    return run
