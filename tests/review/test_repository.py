import subprocess
from pathlib import Path

import pytest

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.review.repository import NoBaseline, Repository, descriptions_within, read_file, shown_path


def git(folder: Path, *arguments: str) -> None:
    settings = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "open api.yaml").write_text("openapi: 3.1.0\nx: {$ref: 'other.yaml#/a'}\n")
    (tmp_path / "api" / "other.yaml").write_text("a: {old: true}\n")
    git(tmp_path, "init", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    (tmp_path / "api" / "other.yaml").write_text("a: {old: false}\n")
    found = Repository.around(tmp_path / "api" / "open api.yaml")
    assert found is not None
    return found


def test_the_repository_of_a_file_is_the_folder_with_git(repository: Repository, tmp_path: Path) -> None:
    assert repository.root == tmp_path
    assert repository.relative(str(tmp_path / "api" / "other.yaml")) == "api/other.yaml"


def test_a_commit_is_read_with_all_its_files(repository: Repository, tmp_path: Path) -> None:
    library = repository.library(repository.commit("main"), "main")

    root = library.open(str(tmp_path / "api" / "open api.yaml"))

    assert library.resolve(root.value["x"], root).value == {"old": True}
    assert root.file.name == "main:api/open api.yaml"


def test_a_file_that_a_commit_does_not_have(repository: Repository, tmp_path: Path) -> None:
    commit = repository.commit("HEAD")
    new = str(tmp_path / "api" / "new.yaml")

    assert not repository.has(commit, new)
    assert repository.has(commit, str(tmp_path / "api" / "other.yaml"))
    with pytest.raises(OSError, match="main has no"):
        repository.library(commit, "main").open(new)


@pytest.mark.parametrize("ref", ["nowhere", "--all", "HEAD:api", ""])
def test_a_ref_that_is_no_commit_is_said(repository: Repository, ref: str) -> None:
    with pytest.raises(NoBaseline, match="neither a file nor a commit"):
        repository.commit(ref)


def test_owners_come_from_the_first_place_that_has_them(repository: Repository) -> None:
    assert repository.owners() is None

    (repository.root / "docs").mkdir()
    (repository.root / "docs" / "CODEOWNERS").write_text("* @docs\n")
    (repository.root / ".github").mkdir()
    (repository.root / ".github" / "CODEOWNERS").write_text("* @first\n")

    owners = repository.owners()
    assert owners is not None
    assert (owners.file, owners.of("x")) == (".github/CODEOWNERS", ("@first",))


def test_descriptions_are_known_by_their_first_lines(tmp_path: Path) -> None:
    for name, text in {
        "a.yaml": "# x\nopenapi: 3.1.0\n",
        "b.json": '{"swagger": "2.0"}',
        "c.yml": "asyncapi: 3.0.0\n",
        "d.yaml": "paths: {}\n",
        "e.txt": "openapi: 3.1.0\n",
        ".hidden/f.yaml": "openapi: 3.1.0\n",
        "node_modules/g.yaml": "openapi: 3.1.0\n",
        "sub/h.yaml": '"openapi" : "3.0.0"\n',
        "i.yaml": "note: openapi 3\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    assert [path.relative_to(tmp_path).as_posix() for path in descriptions_within(tmp_path)] == [
        "a.yaml",
        "b.json",
        "c.yml",
        "sub/h.yaml",
    ]


def test_only_files_are_read() -> None:
    with pytest.raises(OSError, match="is no file"):
        read_file("/dev/zero")


def test_a_path_is_shown_from_where_people_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert shown_path(str(tmp_path / "a" / "b.yaml")) == "a/b.yaml"
    assert shown_path("/elsewhere/b.yaml") == "/elsewhere/b.yaml"


def test_a_folder_outside_of_git_has_no_repository() -> None:
    assert Repository.around(Path("/nowhere/x.yaml")) is None


def test_an_old_file_that_is_not_yaml_is_an_invalid_document(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("a: [\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "bad")

    with pytest.raises(InvalidDocument, match=r"HEAD:bad\.yaml:2"):
        repository.library(repository.commit("HEAD"), "HEAD").open(str(tmp_path / "bad.yaml"))
