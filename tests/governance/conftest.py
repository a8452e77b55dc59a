"""Documents on disk, named as people name them, so that findings can be compared word for word."""

from datetime import datetime
from pathlib import Path

import pytest

from sidecar.governance.policy.snapshot import Snapshot, load
from tests.fakes.documents import NOW, POLICY, SIDECAR, Loading


@pytest.fixture
def loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loading:
    """Write both documents into an empty folder, by default a small valid pair, and load them by their bare names."""
    monkeypatch.chdir(tmp_path)

    def write_and_load(
        *, sidecar: str | bytes = SIDECAR, policy: str | bytes = POLICY, now: datetime = NOW
    ) -> Snapshot:
        for name, content in (("sidecar.yaml", sidecar), ("policy.yaml", policy)):
            Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
        return load(Path("sidecar.yaml"), now)

    return write_and_load
