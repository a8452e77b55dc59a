"""The protocol by which telemetry reads the running process. The composition root implements it, without a cache."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field

from sidecar.engine.destination import Destination
from sidecar.engine.histogram import Histogram
from sidecar.engine.shadow import Shadow


class Connections(Struct, frozen=True):
    """Open connections now: the callers', and per destination those in use and those kept idle.

    `tunnels` counts the tunnels opened since the start; `intercepted` the connections that were redirected here on
    their way to others, by what became of them; `bypassing` those to a destination that do not go through here.
    """

    downstream: int
    tunnels: int
    active: Mapping[str, int]
    idle: Mapping[str, int]
    intercepted: Mapping[str, int] = field(default_factory=dict)
    bypassing: Mapping[str, int] = field(default_factory=dict)


class PolicyIdentity(Struct, frozen=True):
    """The identity of the policy in force. `digest` is short and printable, of the exact bytes that were read."""

    version: int
    digest: str


class PolicyReloads(Struct, frozen=True):
    """The results of loading the policy. `loaded_at` is the wall time (seconds since 1970) of loading the one in force.

    `error` is what was wrong at the last attempt, with file, line and field; None when it succeeded.
    """

    succeeded: int
    failed: int
    loaded_at: float
    error: str | None


class ExceptionLife(Struct, frozen=True):
    """One exception of the policy for this service, live or not. `expires_at` is wall time; `uses` counts requests."""

    id: str
    expires_at: float
    uses: int


class PolicyStanding(Struct, frozen=True):
    """The origin of the policy in force: words of `governance.loading.standing`.

    `source_age` is the seconds since its source was last found to say so; `expires` is wall time, None for never.
    `managed` is whether the platform's authority file names the source, and not the service's own file; `outdated`,
    whether the policy asks for a newer sidecar.
    """

    origin: str
    rollout: str
    aborts: int
    source_age: float
    expires: float | None
    managed: bool = False
    outdated: bool = False


class CertificateRenewals(Struct, frozen=True):
    """The results of reading certificates again: those that were renewed, readings that found a bad one.

    `error` is what was wrong at the last reading, with file, line and field; None when nothing was.
    """

    succeeded: int
    failed: int
    error: str | None


class RouteCounts(Struct, frozen=True):
    """One route of a destination: its requests that are over, by `Result`, and their attempts."""

    name: str
    requests: Sequence[int]
    attempts: int


class KeyStoreHealth(Struct, frozen=True):
    """The store of idempotency keys. `failures` counts since the start; `failing`: it was, when it was asked last."""

    failures: int
    failing: bool
    seconds: Histogram
    """Of its transitions."""


class MetricsSource(Protocol):
    """A process that can be looked at. The keys of `destinations` are policy names and become label values."""

    @property
    def destinations(self) -> Mapping[str, Destination]:
        """The destinations in force, with `unlisted` among them when unlisted hosts are forwarded."""

    @property
    def routes(self) -> Mapping[str, Sequence[RouteCounts]]:
        """The routes of each destination that has any."""

    @property
    def rejections(self) -> Mapping[str, int]:
        """Messages on the wire that were refused for their bytes, by the words of `wire.malformed.REASONS`."""

    @property
    def policy(self) -> PolicyIdentity:
        """The policy in force."""

    @property
    def reloads(self) -> PolicyReloads:
        """The results of loading the policy."""

    @property
    def exceptions(self) -> Sequence[ExceptionLife]:
        """The exceptions that the policy has for this service."""

    @property
    def left_out(self) -> Mapping[str, int]:
        """Overrides that are not in force because the exception they need is over, by destination."""

    @property
    def standing(self) -> PolicyStanding:
        """The origin of the policy in force."""

    @property
    def certificates(self) -> CertificateRenewals:
        """The results of reading certificates again."""

    @property
    def key_outcomes(self) -> Mapping[str, Mapping[str, int]]:
        """Counts of requests with an idempotency key, by route with a contract, by `gate.KeyOutcome`'s words."""

    @property
    def key_probes(self) -> Mapping[str, Mapping[str, int]]:
        """Answers of the service about unknown keys, by route that has a probe, by `gate.ProbeOutcome`'s words."""

    @property
    def keys_unknown(self) -> int | None:
        """Keys whose outcome waits to be found out; None where no route has a contract."""

    @property
    def key_store(self) -> KeyStoreHealth | None:
        """The store of keys; None where no route has a contract."""

    @property
    def undeclared(self) -> Mapping[str, int]:
        """Requests with side effects that no route of the service declares, by a word of `metrics.WRITE_METHODS`."""

    @property
    def misdirected(self) -> Mapping[str, int]:
        """Requests that were sent nowhere because of where they were addressed, by `wire.misdirected.MISDIRECTIONS`."""

    @property
    def handshake_failures(self) -> Mapping[str, int]:
        """Callers of the service whose TLS handshake failed, by the words of `wire.handshake`."""

    @property
    def shadows(self) -> Mapping[str, Shadow]:
        """The differences of a candidate policy, by destination; empty unless there is a dry run."""

    @property
    def observations(self) -> Mapping[str, Shadow]:
        """The decisions of a policy that is only observed (`mode: observe`), by destination in that mode."""

    @property
    def log_lines_dropped(self) -> Mapping[str, int]:
        """`Log.dropped`."""

    @property
    def background_failures(self) -> Mapping[str, int]:
        """`BackgroundTasks.failures`."""

    @property
    def spans(self) -> Mapping[str, int]:
        """`Tracing.spans`; empty where there is no tracing."""

    @property
    def event_loop_lag(self) -> float:
        """`LoopLag.seconds`."""

    def connections(self) -> Connections:
        """Connections, counted now."""
