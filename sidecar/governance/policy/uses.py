"""The use of each exception in requests, so that the unused ones are found and taken out."""

from collections.abc import Mapping

from sidecar.governance.policy.snapshot import Snapshot
from sidecar.governance.policy.waivers import State


class ExceptionUses:
    """Counts the requests to destinations that have a number past its guardrail, by the exception that lets it there.

    The destinations count their requests anyhow; here only differences are taken, at each look and before
    another snapshot comes into force.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._marks: Mapping[str, int] = {}

    def settle(self, snapshot: Snapshot, requests: Mapping[str, int]) -> Mapping[str, int]:
        """Uses by id, up to now. `snapshot` has been in force since the last call; `requests` are totals by name."""
        for name, total in requests.items():
            fresh = total - self._marks.get(name, 0)
            if fresh <= 0:
                continue
            own = [each for key, each in snapshot.resolutions.items() if key.partition(".")[0] == name]
            excepted = (e for resolution in own for e in resolution.excepted.values())
            for identity in {e.grant.id for e in excepted if e.state is State.LIVE}:
                self._counts[identity] = self._counts.get(identity, 0) + fresh
        self._marks = dict(requests)
        return {grant.id: self._counts.get(grant.id, 0) for grant in snapshot.exceptions}
