import pytest

from sidecar.governance.documents.sidecar_version import SidecarVersion


@pytest.mark.parametrize("written", ["0.2", "0.2.0rc1", "v0.2.0", "01.2.3", "0.2.0 ", "", 0.2, None])
def test_what_is_no_version_is_told(written: object) -> None:
    with pytest.raises(ValueError, match="must be a version of three numbers in quotes"):
        SidecarVersion.parse(written)


@pytest.mark.parametrize(
    ("asked", "version", "newer"),
    [
        ("0.2.0", "0.1.0", True),
        ("0.2.0", "0.2.0", False),
        ("0.10.0", "0.9.9", True),
        ("0.2.0", "0.10.0", False),
        ("1.0.0", "0.99.99", True),
        ("0.2.0", "0.2.0.dev1", False),
        ("0.2.0", "unknown", False),
    ],
)
def test_versions_are_compared_number_by_number(asked: str, version: str, *, newer: bool) -> None:
    assert SidecarVersion.parse(asked).newer_than(version) is newer
