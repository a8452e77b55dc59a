"""What is compared: a way to call, each set up as its own documentation recommends, with the same patience for all.

Three attempts of `per_try` seconds each, and 429 and 503 are tried again, where a library can be told so.
"""

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol, cast

from loadtest.storm.client import Client, Doors
from loadtest.storm.scenario import Scenario
from loadtest.subjects import MissingError

ATTEMPTS = 3
RETRIED_STATUSES = (429, 503)
OURS = "retry-sidecar"


class RetriedError(Exception):
    """An answer with a status that is tried again, as libraries that retry exceptions want it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"answered with {status}")
        self.status = status


class Start(Protocol):
    """The one public function of a library's module."""

    def __call__(self, scenario: Scenario, port: int, doors: Doors) -> Client:
        """A process's client of the dependency at `port`; `doors` ask there without any retry."""


@dataclass(frozen=True, slots=True)
class Library:
    """One way to call: the name of the command line, and where it comes from."""

    name: str
    title: str
    package: str
    """The distribution whose version is told."""
    function: str
    """`module:function`, a Start; imported by the process that uses it, so that no library is beside another's."""

    def version(self) -> str:
        """Raises MissingError if it is not here."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            raise MissingError(f"{self.name}: {self.package} is not installed: pip install -e '.[dev]'") from None

    def start(self) -> Start:
        """Import it."""
        module, _, name = self.function.partition(":")
        return cast("Start", getattr(import_module(f"{__name__}.{module}"), name))


LIBRARIES = {
    library.name: library
    for library in (
        Library("none", "no retries", OURS, "none:once"),
        Library("httpx", "httpx, no retries", "httpx", "alone:httpx_"),
        Library("tenacity", "tenacity", "tenacity", "tenacity:coroutines"),
        Library("stamina", "stamina", "stamina", "stamina:coroutines"),
        Library("urllib3", "urllib3 Retry", "urllib3", "urllib3:threads"),
        Library("aws-standard", "AWS standard mode", "botocore", "botocore:threads"),
        Library("sidecar-coroutines", "sidecar.client, call_async", OURS, "ours:coroutines"),
        Library("sidecar-threads", "sidecar.client, call", OURS, "ours:threads"),
        Library("sidecar-httpx", "sidecar.client.httpx", OURS, "ours:httpx_"),
        Library("sidecar-aiohttp", "sidecar.client.aiohttp", OURS, "ours:aiohttp_"),
        Library("sidecar-requests", "sidecar.client.requests", OURS, "ours:requests_"),
    )
}
