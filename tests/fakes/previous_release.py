"""The release before this one, as a folder that `python -m sidecar` runs from.

It is the last tag before HEAD; while there is none, the commit that is pinned here. A shallow clone fetches that commit
from its origin. Where it can not be had the tests fail; only a tree without any .git, outside CI, leaves them out.
"""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINNED = "4e6bb74551846f970da8dff31c7030f37016fee5"
"""2026-11-24: hands its sockets over, keeps idempotency keys, has no `min_sidecar`."""


def previous_commit() -> str:
    """The tag, or the pinned commit, which is there then. Fails the test where it can not be had."""
    if not (ROOT / ".git").exists():
        told = "there is no .git: upgrade and downgrade are NOT tested, for want of the release before this one"
        if os.environ.get("CI"):
            pytest.fail(told)
        pytest.skip(told)
    described = _git("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD^")
    commit = described.stdout.decode().strip() or PINNED
    if _git("cat-file", "-e", f"{commit}^{{commit}}").returncode:
        fetched = _git("fetch", "--quiet", "--depth", "1", "origin", commit)
        if fetched.returncode:
            reason = fetched.stderr.decode().strip()
            pytest.fail(
                f"the release before this one, {commit}, is not in this clone: git fetch --unshallow ({reason})"
            )
    return commit


def unpack(commit: str, folder: Path) -> Path:
    """Its package, in `folder`."""
    archive = _git("archive", commit, "sidecar", "config")
    assert archive.returncode == 0, archive.stderr
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packed:
        packed.extractall(folder, filter="data")
    return folder


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False, timeout=120)
