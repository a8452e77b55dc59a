from pathlib import Path

import pytest

from sidecar.governance.loading.mounts import mounted_by_themselves

LINE = "36 35 98:0 /volumes/policy.yaml {point} rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "etc" / "policy.yaml"
    file.parent.mkdir()
    file.write_text("version: 1\n")
    return file


def mountinfo(folder: Path, *points: object) -> Path:
    table = folder / "mountinfo"
    table.write_text("".join(LINE.format(point=point) for point in points))
    return table


def test_a_file_that_is_a_mount_point_is_named(file: Path, tmp_path: Path) -> None:
    table = mountinfo(tmp_path, "/", file)

    assert mounted_by_themselves([file], table) == [file]


def test_a_file_in_a_mounted_directory_is_none(file: Path, tmp_path: Path) -> None:
    table = mountinfo(tmp_path, "/", file.parent)

    assert mounted_by_themselves([file], table) == []


def test_a_link_to_a_mount_point_is_named_by_the_link(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(file)

    assert mounted_by_themselves([link], mountinfo(tmp_path, file)) == [link]


def test_blanks_and_backslashes_of_a_mount_point_are_read_as_the_kernel_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "a b\\c.yaml"
    file.write_text("")
    table = mountinfo(tmp_path, str(file).replace("\\", "\\134").replace(" ", "\\040"))

    assert mounted_by_themselves([file], table) == [file]


def test_a_file_that_is_not_there_and_a_directory_are_none(file: Path, tmp_path: Path) -> None:
    table = mountinfo(tmp_path, tmp_path / "gone.yaml", file.parent)

    assert mounted_by_themselves([tmp_path / "gone.yaml", file.parent], table) == []


def test_where_the_system_does_not_tell_nothing_is_named(file: Path, tmp_path: Path) -> None:
    assert mounted_by_themselves([file], tmp_path / "no-such-table") == []
