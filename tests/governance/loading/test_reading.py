"""Files read together. What is replaced between two of them is replaced here, in the middle of a reading."""

from pathlib import Path

import pytest

from sidecar.governance.documents.yaml import SIZE_CEILING_BYTES
from sidecar.governance.loading import reading
from sidecar.governance.loading.reading import read


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    files = [tmp_path / "sidecar.yaml", tmp_path / "policy.yaml"]
    for file in files:
        file.write_text("one")
    return files


def test_the_bytes_of_each_file_are_read(files: list[Path]) -> None:
    files[1].write_bytes(b"\xff\x00")

    contents = read(files).contents

    assert contents == {files[0]: b"one", files[1]: b"\xff\x00"}


def test_a_file_that_can_not_be_read_says_why(files: list[Path]) -> None:
    files[1].unlink()

    assert read(files).contents[files[1]] == "No such file or directory"


def test_of_a_huge_file_is_read_what_shows_that_it_is_too_long(files: list[Path]) -> None:
    files[0].write_bytes(b"x" * (SIZE_CEILING_BYTES + 1000))

    assert len(read(files).contents[files[0]]) == SIZE_CEILING_BYTES + 1


def test_fingerprints_agree_exactly_when_the_bytes_do(files: list[Path]) -> None:
    first = read(files).fingerprint
    files[0].write_text("one")
    again = read(files).fingerprint
    files[0].write_text("onet")
    files[1].write_text("wo")
    shifted = read(files).fingerprint
    files[1].unlink()
    gone = read(files).fingerprint
    files[1].write_text("No such file or directory")
    quoted = read(files).fingerprint

    assert first == again
    assert len({first, shifted, gone, quoted}) == 4


def test_a_set_of_files_swapped_in_the_middle_is_read_again_and_never_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        for name in ("sidecar.yaml", "policy.yaml"):
            (tmp_path / version / name).write_text(version)
    link = tmp_path / "..data"
    link.symlink_to("1")
    names = [tmp_path / name for name in ("sidecar.yaml", "policy.yaml")]
    for name in names:
        name.symlink_to(Path("..data") / name.name)
    plain = reading._content
    swaps = iter([True])

    def swap_after_the_first(file: Path) -> bytes | str:
        content = plain(file)
        if next(swaps, False):
            draft = tmp_path / "draft"
            draft.symlink_to("2")
            draft.replace(link)
        return content

    monkeypatch.setattr(reading, "_content", swap_after_the_first)

    contents = read(names).contents

    assert set(contents.values()) == {b"2"}


def test_files_that_never_stand_still_are_read_nevertheless(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = reading._content
    count = 0

    def write_after(file: Path) -> bytes | str:
        nonlocal count
        content = plain(file)
        count += 1
        file.write_text("x" * count)
        return content

    monkeypatch.setattr(reading, "_content", write_after)

    assert set(read(files).contents) == set(files)
    assert count < 100
