"""The results of loading over the life of a process: counts, and the findings of the last attempt.

The clock enters as an argument, and so does what was loaded: this only remembers.
"""

from collections.abc import Sequence

from msgspec import Struct

from sidecar.governance.documents.finding import Finding
from sidecar.governance.policy.snapshot import Snapshot


class Reloads(Struct):
    """The last good snapshot and the count of attempts to replace it. Times are wall-clock seconds.

    The load at start is not counted; `in_force_since` is its time until a reload brings other bytes.
    """

    snapshot: Snapshot
    in_force_since: float
    successes: int = 0
    failures: int = 0
    findings: tuple[Finding, ...] = ()
    """Of the last attempt; empty when it was good."""

    @property
    def last_error(self) -> str | None:
        """The findings of the last attempt, one line each; None when it was good."""
        return "\n".join(str(finding) for finding in self.findings) or None

    def succeeded(self, snapshot: Snapshot, now: float) -> bool:
        """Another snapshot is in force. Whether its bytes are others than before."""
        self.successes += 1
        self.findings = ()
        same_documents = snapshot.digest == self.snapshot.digest and snapshot.files == self.snapshot.files
        changed = not same_documents or snapshot.states != self.snapshot.states
        if changed:
            self.in_force_since = now
        self.snapshot = snapshot
        return changed

    def failed(self, findings: Sequence[Finding]) -> bool:
        """The last good snapshot stays in force. Whether something else is wrong than at the last attempt."""
        self.failures += 1
        news = tuple(findings) != self.findings
        self.findings = tuple(findings)
        return news
