"""The sources of descriptions: the working tree, or a commit of its git repository; and their owners there."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar.review.codeowners import PLACES, CodeOwners, code_owners
from sidecar.review.references import Library
from sidecar.review.source import SIZE_CEILING_BYTES

_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
_PASSED_OVER: Final = frozenset({"node_modules", "vendor"})
_MARK: Final = re.compile(rb"""^[ \t{]*["']?(?:openapi|swagger|asyncapi)["']?[ \t]*:""", re.MULTILINE)


class NoBaseline(Exception):
    """A baseline that can not be had: no such file, no such commit, no repository."""


def descriptions_within(folder: Path) -> Iterator[Path]:
    """The files of a folder that are OpenAPI, Swagger or AsyncAPI by their first lines; hidden ones are passed over."""
    for directory, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _PASSED_OVER)
        for name in sorted(files):
            path = Path(directory, name)
            if path.suffix in _SUFFIXES and not name.startswith(".") and path.is_file():
                with path.open("rb") as stream:
                    if _MARK.search(stream.read(1 << 16)):
                        yield path


def read_file(path: str) -> bytes:
    """The bytes of a regular file, at most one more than a description may have. Raises OSError."""
    file = Path(path)
    if file.exists() and not file.is_file():
        raise OSError(f"{path} is no file")
    with file.open("rb") as stream:
        return stream.read(SIZE_CEILING_BYTES + 1)


def shown_path(path: str) -> str:
    """A path as people call it: from the working directory where it is below it."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def working_library() -> Library:
    """The files as they are on disk."""
    return Library(read_file, shown_path)


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository by its root."""

    root: Path

    @classmethod
    def around(cls, path: Path) -> "Repository | None":
        """The repository that a file is in."""
        for folder in path.resolve().parents:
            if (folder / ".git").exists():
                return cls(folder)
        return None

    def relative(self, path: str) -> str:
        """A path from the root, with `/`."""
        return Path(path).resolve().relative_to(self.root).as_posix()

    def owners(self) -> CodeOwners | None:
        """CODEOWNERS, from the first of its places; None where it has none."""
        for place in PLACES:
            file = self.root / place
            if file.is_file():
                return code_owners(file.read_text(encoding="utf-8", errors="replace"), place)
        return None

    def commit(self, ref: str) -> str:
        """The commit that a ref names. Raises NoBaseline."""
        found = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        if found is None:
            raise NoBaseline(f"{ref} is neither a file nor a commit of {self.root}")
        return found.decode("ascii").strip()

    def library(self, commit: str, ref: str) -> Library:
        """The files as they were in a commit; findings call them `REF:path`."""

        def read(path: str) -> bytes:
            content = self._git("cat-file", "blob", f"{commit}:{self._inside(path)}")
            if content is None:
                raise FileNotFoundError(f"{ref} has no {path}")
            return content

        return Library(read, lambda path: f"{ref}:{self._inside(path)}")

    def has(self, commit: str, path: str) -> bool:
        """Whether the commit has the file."""
        return self._git("cat-file", "-e", f"{commit}:{self._inside(path)}") is not None

    def _inside(self, path: str) -> str:
        return Path(os.path.relpath(path, self.root)).as_posix()

    def _git(self, *arguments: str) -> bytes | None:
        try:
            done = subprocess.run(  # noqa: S603 - arguments are a list, refs stand behind --end-of-options
                ["git", "-C", str(self.root), *arguments],  # noqa: S607 - git by its name, as everywhere
                capture_output=True,
                check=False,
            )
        except FileNotFoundError:
            raise NoBaseline("git is not installed, and a baseline of another commit needs it") from None
        return done.stdout if done.returncode == 0 else None
