"""What people write, judged and compiled to what engines run on: two documents in, one immutable snapshot out.

`load` and `from_flags` make a Snapshot or raise InvalidDocument, whose findings name file, line, field, rule and value.
"""

from sidecar.governance.finding import Finding, InvalidDocument
from sidecar.governance.snapshot import Snapshot, from_flags, load

__all__ = ["Finding", "InvalidDocument", "Snapshot", "from_flags", "load"]
