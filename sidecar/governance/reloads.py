"""Which snapshot is in force, and how its reloads went. Anything wrong: the last good one stays.

The clock enters as an argument, and so does what loads: this only decides.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sidecar.governance.finding import Finding, InvalidDocument
from sidecar.governance.snapshot import Snapshot


@dataclass(slots=True)
class Reloads:
    """The last good snapshot and the count of attempts to replace it. Times are wall-clock seconds.

    The load at start is not counted; `in_force_since` is its time until a reload brings other bytes.
    """

    snapshot: Snapshot
    in_force_since: float
    successes: int = 0
    failures: int = 0
    last_attempt: float | None = None
    findings: tuple[Finding, ...] = ()
    """Of the last attempt; empty when it was good."""

    @property
    def last_error(self) -> str | None:
        """What was wrong with the last attempt, one line for each finding; None when it was good."""
        return "\n".join(str(finding) for finding in self.findings) or None

    def attempt(self, load: Callable[[], Snapshot], now: float) -> Snapshot | tuple[Finding, ...]:
        """Load again: the snapshot in force now, the same object when it says the same, or the findings."""
        self.last_attempt = now
        try:
            loaded = load()
        except InvalidDocument as error:
            self.failures += 1
            self.findings = error.findings
            return self.findings
        self.successes += 1
        self.findings = ()
        same_documents = loaded.digest == self.snapshot.digest and loaded.files == self.snapshot.files
        if not same_documents or loaded.states != self.snapshot.states:
            self.snapshot = loaded
            self.in_force_since = now
        return self.snapshot
