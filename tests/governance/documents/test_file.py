import os
import socket
from pathlib import Path

import pytest

from sidecar.governance.documents.file import read_regular


def test_a_file_is_read_up_to_what_shows_that_it_is_too_long(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_bytes(b"x" * 100)

    assert read_regular(file, 1000) == b"x" * 100
    assert read_regular(file, 10) == b"x" * 11


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "..data").write_bytes(b"one")
    (tmp_path / "policy.yaml").symlink_to("..data")

    assert read_regular(tmp_path / "policy.yaml", 10) == b"one"


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "policy.yaml")

    with pytest.raises(OSError, match="it is not a regular file"):
        read_regular(tmp_path / "policy.yaml", 10)


def test_a_socket_and_a_device_are_no_files(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "s"))
        with pytest.raises(OSError, match="No such device or address"):
            read_regular(tmp_path / "s", 10)
    with pytest.raises(OSError, match="it is not a regular file"):
        read_regular(Path("/dev/zero"), 10)


def test_what_else_is_wrong_says_so(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "absent", 10)
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path, 10)
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        read_regular(tmp_path / "loop", 10)
