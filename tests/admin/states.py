"""An AdminState whose answers the test sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sidecar.admin.state import ReloadResult
from sidecar.idempotency.desk import KeyDesk
from sidecar.telemetry.history import History
from tests.telemetry.sources import SetMetricsSource

FINDING = {"file": "policy.yaml", "line": 12, "field": "budget.ratio", "rule": "must be at most 0.2", "value": 0.9}


@dataclass
class SetState(SetMetricsSource):
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    result: ReloadResult | Exception = field(default_factory=lambda: ReloadResult(ok=True, version=8, findings=()))
    reload_count: int = 0
    keys: KeyDesk | None = None
    history: History = field(default_factory=lambda: History(lambda: 1.0))

    def ready(self) -> Sequence[str]:
        return self.reasons

    def warnings(self) -> Sequence[str]:
        return self.notes

    def endpoints(self) -> Mapping[str, Sequence[str]]:
        return {"payments": ["http://payments.default.svc:8080"]}

    def policy_view(self) -> Mapping[str, object]:
        return {"version": 7, "owner": "platform-reliability", "digest": "sha256:3f2a", "sources": ["policy.yaml"]}

    async def reload(self) -> ReloadResult:
        self.reload_count += 1
        if isinstance(self.result, Exception):
            raise self.result
        return self.result
