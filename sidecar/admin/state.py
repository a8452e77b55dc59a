"""The protocol by which the admin plane reads the running process. The composition root implements it."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from sidecar.idempotency.desk import KeyDesk
from sidecar.telemetry.history import History
from sidecar.telemetry.metrics_source import MetricsSource


class ReloadResult(Struct, frozen=True):
    """The outcome of a reload asked for by hand. `findings` (file, line, field, rule, value…) is empty when `ok`.

    `left_out` are findings too, about overrides without which it is in force: their exception is over.
    """

    ok: bool
    version: int
    findings: Sequence[Mapping[str, object]]
    left_out: Sequence[Mapping[str, object]] = ()


class AdminState(MetricsSource, Protocol):
    """A MetricsSource that also says whether it is ready and what lately happened, shows its policy, loads it again."""

    @property
    def history(self) -> History:
        """The last fifteen minutes."""

    def ready(self) -> Sequence[str]:
        """The reasons why it is not ready, one sentence each; empty when it is."""

    def warnings(self) -> Sequence[str]:
        """Warnings for an operator that do not make it unready, one sentence each."""

    def endpoints(self) -> Mapping[str, Sequence[str]]:
        """The addresses of each destination, without credentials."""

    def policy_view(self) -> Mapping[str, object]:
        """The policy in force as JSON: version, owner, digest, sources, and each resolved number with its origin."""

    @property
    def keys(self) -> KeyDesk | None:
        """The idempotency keys of the service's own routes; None where no route is named."""

    def reload(self) -> Awaitable[ReloadResult]:
        """Load the policy now. A policy that is wrong is a result, not an exception; the last good one stays."""
