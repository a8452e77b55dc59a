"""What the comparison needs to know of a proxy."""

import shutil
import subprocess
from pathlib import Path
from typing import Protocol


class MissingError(Exception):
    """The proxy is not here. The message is one line and says how to get it."""


class Subject(Protocol):
    """One proxy. It is given a directory of its own for configuration and scratch files."""

    name: str
    is_optional: bool  # left out of a run that did not ask for it by name, if it is not installed

    def version(self) -> str:
        """Raises MissingError if the proxy is not here."""

    def command(self, directory: Path, port: int, upstream_port: int) -> list[str]:
        """Write the configuration and return the command line that runs it in the foreground."""


def found(program: str) -> str:
    """The program's path; raises MissingError."""
    # Debian keeps servers in a directory that is not on everybody's PATH.
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        raise MissingError(f"{program} is not installed (a package of that name is in most distributions)")
    return path


def said(argv: list[str]) -> str:
    """The first line a program prints, on either stream."""
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    return next((line.strip() for line in (ran.stdout + ran.stderr).splitlines() if line.strip()), "unknown")
