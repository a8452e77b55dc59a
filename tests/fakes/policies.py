"""Sources of policies that give what a test has put into them."""

from dataclasses import dataclass, field

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.governance.loading.loader import Loaded
from sidecar.governance.loading.standing import PolicyOrigin, RolloutState
from sidecar.governance.policy.snapshot import Snapshot


def loaded(
    snapshot: Snapshot,
    *,
    origin: PolicyOrigin = PolicyOrigin.SOURCE,
    rollout: RolloutState = RolloutState.NONE,
    candidate: Snapshot | None = None,
    warnings: tuple[str, ...] = (),
    poll: float | None = None,
    confirmed: float = 0.0,
) -> Loaded:
    offered = snapshot.version if candidate is None else candidate.version
    return Loaded(snapshot, origin, rollout, offered, candidate, warnings, (), "", poll, confirmed)


@dataclass
class Shelf:
    """Gives what lies on top of `loads`; what is aborted is told, and gives `fallback`."""

    loads: list[Loaded | InvalidDocument]
    fallback: Loaded | None = None
    aborted: list[int] = field(default_factory=list)
    asked: int = 0

    async def load(self) -> Loaded:
        self.asked += 1
        top = self.loads[-1]
        if isinstance(top, InvalidDocument):
            raise top
        return top

    async def abort(self, version: int) -> Loaded:
        self.aborted.append(version)
        assert self.fallback is not None
        return self.fallback
