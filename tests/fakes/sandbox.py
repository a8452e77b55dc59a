"""A place of its own for programs that take fixed ports or a root of their own: Debian's bubblewrap."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.fakes.tools import tool


def in_sandbox(
    command: Sequence[str | Path],
    *options: str | Path,
    root: Path = Path("/"),
    environment: Mapping[str, str] | None = None,
    within: float = 60.0,
) -> subprocess.CompletedProcess[str]:
    """Run it with `root` as a read-only root, no network but a loopback of its own, and an empty /tmp.

    Its processes end with it. `options` are bubblewrap's own, such as `--uid 65532`.
    """
    sandbox = [tool("bwrap"), "--die-with-parent", "--unshare-net", "--unshare-pid", "--unshare-ipc"]
    places = ["--ro-bind", root, "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]
    return subprocess.run(
        [*map(str, (*sandbox, *places, *options, "--", *command))],
        env=dict(os.environ if environment is None else environment),
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )
