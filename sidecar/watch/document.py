"""The document of `GET /?format=json` of an admin port, as types; fetched, or read from a saved file."""

import http.client
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from sidecar.net import Address

PATIENCE_SECONDS: Final = 5.0
LARGEST_BYTES: Final = 256 * 1024 * 1024


class Unreadable(Exception):
    """There is no such document; the message is one line that says where it was looked for and why not."""


class LiveHeadline(Struct, frozen=True):
    """The verdict."""

    level: str
    words: str
    detail: str


class Identity(Struct, frozen=True):
    """The policy in force, and what was wrong with the last one that was not taken."""

    version: int
    digest: str
    error: str | None = None


class LiveLately(Struct, frozen=True):
    """A destination over the last ten seconds."""

    seconds: float
    requests: int
    bad: int
    amplification: float
    bound: float
    refusals: dict[str, int]
    retry: int = 0
    few: bool = False
    """Too few requests to judge by."""


class Budget(Struct, frozen=True):
    """Its retries."""

    balance: float


class LiveBreaker(Struct, frozen=True):
    """Its breaker, by the word of its state."""

    state: str


class Concurrency(Struct, frozen=True):
    """Its places."""

    limit: float
    in_flight: int
    waiting: int
    state: str = ""
    """Of the limit: `open` while none is in force."""


class Limits(Struct, frozen=True):
    """The numbers of its policy that bound amplification."""

    max_attempts: int
    budget_ratio: float
    budget_window: float
    min_retries: int


class DestinationState(Struct, frozen=True):
    """A destination; counts are since the start."""

    name: str
    level: str
    endpoints: list[str]
    lately: LiveLately
    requests: int
    attempts: int
    budget: Budget
    breaker: LiveBreaker
    concurrency: Concurrency
    limits: Limits


class AttemptState(Struct, frozen=True):
    """One attempt of an exchange; `began` in seconds after the exchange did."""

    outcome: str
    began: float
    seconds: float
    endpoint: str = ""


class ExchangeState(Struct, frozen=True):
    """A notable exchange; `at` is when it ended."""

    at: float
    alike: int
    destination: str
    method: str
    target: str
    status: int
    outcome: str
    seconds: float
    refusal: str | None
    attempts: list[AttemptState]
    answered_by: str = ""
    """`upstream` or `sidecar`; empty when the caller left before."""


class Rows(Struct, frozen=True):
    """Seconds, by destination and column; `times` are the ends of the seconds."""

    first: int
    times: list[float]
    series: dict[str, dict[str, list[float | None]]]
    transitions: dict[str, list[tuple[float | None, str]]]

    def column(self, name: str, column: str) -> list[float]:
        """A column of a destination, nothing where nothing was told."""
        values = self.series.get(name, {}).get(column)
        return [0.0] * len(self.times) if values is None else [value or 0.0 for value in values]


class KeyStoreState(Struct, frozen=True):
    """The store of idempotency keys; `failures` since the start, quantiles in seconds."""

    failing: bool
    failures: int
    p50: float | None = None
    p99: float | None = None


class KeyRouteState(Struct, frozen=True):
    """A route with a contract; counts since the start. `refused` is by reason."""

    name: str
    requests: int
    new: int
    replayed: int
    running: int
    refused: dict[str, int]
    probes: dict[str, int] | None = None


class KeysState(Struct, frozen=True):
    """The ingress gate; `unknown` keys wait to be found out."""

    unknown: int
    store: KeyStoreState
    routes: list[KeyRouteState]


class LiveDocument(Struct, frozen=True):
    """Everything, at one instant `at` (seconds since 1970)."""

    epoch: str
    version: str
    service: str
    at: float
    headline: LiveHeadline
    ready: list[str]
    policy: Identity
    destinations: list[DestinationState]
    exchanges: list[ExchangeState]
    history: Rows
    observing: dict[str, str] = {}
    """A sentence for each destination whose policy is only observed, by its name."""
    keys: KeysState | None = None
    """None where no route of the service has a contract."""
    bypassing: dict[str, int] = {}
    """Open connections of the service that go straight to a destination, past the sidecar, by its name."""


def fetch(admin: Address, seconds: int) -> bytes:
    """The document of the sidecar at `admin`, with its last `seconds`. Raises Unreadable."""
    connection = http.client.HTTPConnection(admin.host, admin.port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", f"/?format=json&seconds={seconds}")
        answer = connection.getresponse()
        body = answer.read(LARGEST_BYTES)
    except (OSError, http.client.HTTPException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        raise Unreadable(f"no sidecar answers at http://{admin}/: {reason}") from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise Unreadable(f"http://{admin}/ is no sidecar's admin port: it answered {answer.status}")
    return body


def read(file: Path) -> bytes:
    """A document that was saved. Raises Unreadable."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise Unreadable(f"{file}: {error.strerror or error}") from error


def decode(content: bytes, where: str) -> LiveDocument:
    """The document in `content`, which came from `where`. Raises Unreadable."""
    try:
        return msgspec.json.decode(content, type=LiveDocument)
    except msgspec.MsgspecError as error:
        raise Unreadable(f"{where} does not say what a sidecar of this version says: {error}") from error
