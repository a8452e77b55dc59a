"""What the README shows is what the sidecar takes."""

import re
from pathlib import Path

import pytest

from sidecar.engine.policy import DestinationPolicy
from sidecar.governance.policy.snapshot import Snapshot, load
from tests.fakes.documents import NOW

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    sidecar, policy = re.findall(r"^```yaml\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "sidecar.yaml").write_text(sidecar, encoding="utf-8")
    (tmp_path / "policy.yaml").write_text(policy, encoding="utf-8")
    return load(tmp_path / "sidecar.yaml", NOW)


def test_the_two_documents_of_the_readme_are_a_valid_pair(snapshot: Snapshot) -> None:
    payments = snapshot.destinations["payments"]

    assert snapshot.service == "checkout"
    assert snapshot.version == 7
    assert (payments.policy.timeout, payments.policy.budget.ratio) == (3.0, 0.15)
    assert payments.policy.honours_keys


def test_the_defaults_of_the_readme_are_the_built_in_ones(snapshot: Snapshot) -> None:
    shown = snapshot.unlisted

    assert shown == DestinationPolicy()
