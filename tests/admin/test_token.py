"""The token is in a file that this user alone can read, and a file is all that has to be replaced."""

import os
import stat
from pathlib import Path

import pytest

from sidecar.admin.token import AdminToken


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def test_where_none_is_named_one_is_made_that_this_user_alone_can_read(home: Path) -> None:
    token = AdminToken(None)

    token.prepare(16000)

    assert token.file is not None
    assert token.file.is_relative_to(home)
    assert stat.S_IMODE(token.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(token.file.parent.stat().st_mode) == 0o700
    assert token.matches(f"Bearer {token.file.read_text().strip()}")
    assert not token.matches("Bearer ")


@pytest.mark.usefixtures("home")
def test_two_sidecars_have_two_tokens_and_each_start_a_new_one() -> None:
    tokens = []
    for port in (16000, 16010, 16000):
        token = AdminToken(None)
        token.prepare(port)
        assert token.file is not None
        tokens.append(token.file.read_text())

    assert len(set(tokens)) == 3


def test_a_link_in_the_place_of_the_folder_is_not_followed(
    home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (home / f"sidecar-{os.getuid()}").symlink_to(elsewhere)
    token = AdminToken(None)

    token.prepare(16000)

    assert token.file is None
    assert list(elsewhere.iterdir()) == []


def test_a_made_token_goes_with_its_sidecar_and_a_named_one_stays(home: Path) -> None:
    made = AdminToken(None)
    made.prepare(16000)
    file = made.file
    named = home / "token"
    named.write_text("x" * 20)

    made.remove()
    AdminToken(named).remove()

    assert file is not None
    assert not file.exists()
    assert named.exists()


def test_where_nothing_can_be_written_there_is_no_token_and_no_change_is_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", list)
    token = AdminToken(None)

    token.prepare(16000)

    assert token.file is None
    assert not token.matches("Bearer ")


def test_a_token_that_is_replaced_counts_at_once(home: Path) -> None:
    file = home / "token"
    file.write_text("first-of-sixteen!\n")
    token = AdminToken(file)
    token.prepare(16000)
    file.write_text("second-of-sixteen\n")

    accepted = [token.matches(f"Bearer {word}") for word in ("first-of-sixteen!", "second-of-sixteen")]

    assert accepted == [False, True]


@pytest.mark.parametrize(("content", "reason"), [(None, "can not be read: No such file"), ("short\n", "at least 16")])
def test_a_named_file_that_can_not_serve_is_an_error_that_names_it(
    home: Path, content: str | None, reason: str
) -> None:
    file = home / "token"
    if content is not None:
        file.write_text(content)

    with pytest.raises(OSError, match=rf"admin\.token_file {file}: .*{reason}"):
        AdminToken(file).prepare(16000)


def test_a_file_that_another_process_has_made_in_its_place_is_left(home: Path) -> None:
    first, second = AdminToken(None), AdminToken(None)
    first.prepare(16000)
    second.prepare(16000)

    first.remove()

    assert second.file is not None
    assert second.file.is_relative_to(home)
    assert second.file.exists()
