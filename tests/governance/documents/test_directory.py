from pathlib import Path

import pytest

from sidecar.governance.documents.directory import unread_documents


@pytest.mark.parametrize(
    "name",
    ["policy.yaml", "policy.yaml.sig", "gate.yaml", "README.md", ".hidden.yaml", "..data", "policy.yaml~", "notes.txt"],
)
def test_what_can_not_be_taken_for_a_policy_is_nobodys_concern(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("")
    (tmp_path / "folder.yaml").mkdir()

    assert unread_documents(tmp_path) == ()


def test_documents_beside_the_policy_are_named(tmp_path: Path) -> None:
    for name in ("policy.yaml", "team.yaml", "policy.yml"):
        (tmp_path / name).write_text("version: 1\n")

    assert unread_documents(tmp_path) == (
        f"{tmp_path}: of a directory policy.yaml alone is read, and not policy.yml, team.yaml",
    )


def test_a_crowd_is_cut_short(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number:02}.yaml").write_text("")

    (warning,) = unread_documents(tmp_path)
    assert warning.endswith("and not 00.yaml, 01.yaml, 02.yaml, 03.yaml, 04.yaml and 7 more")


def test_links_are_followed_as_a_kubelet_lays_them(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "extra.yaml").write_text("")
    (tmp_path / "extra.yaml").symlink_to("..data/extra.yaml")

    assert len(unread_documents(tmp_path)) == 1


def test_a_directory_that_is_not_there_is_somebody_elses_finding(tmp_path: Path) -> None:
    assert unread_documents(tmp_path / "gone") == ()
