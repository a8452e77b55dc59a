"""A place of its own for programs that take fixed ports or a root of their own: Debian's bubblewrap."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.fakes.tools import tool

CHECKOUT = Path(__file__).parents[2]


def in_sandbox(
    command: Sequence[str | Path],
    *options: str | Path,
    root: Path = Path("/"),
    writable: bool = False,
    tmp: bool = True,
    environment: Mapping[str, str] | None = None,
    within: float = 60.0,
) -> subprocess.CompletedProcess[str]:
    """Run it with `root` as its root, read-only unless `writable`, and no network but a loopback of its own.

    With `tmp` there is an empty /tmp. Its processes end with it. `options` are bubblewrap's own, such as `--uid 65532`.
    """
    sandbox = [tool("bwrap"), "--die-with-parent", "--unshare-net", "--unshare-pid", "--unshare-ipc"]
    places = ["--bind" if writable else "--ro-bind", root, "/", "--dev", "/dev", "--proc", "/proc"]
    if tmp:
        places += ["--tmpfs", "/tmp"]
        hidden = (place for place in (CHECKOUT, sys.prefix, sys.base_prefix) if Path(place).is_relative_to("/tmp"))
        places += (word for place in hidden for word in ("--ro-bind", place, place))
    return subprocess.run(
        [*map(str, (*sandbox, *places, *options, "--", *command))],
        env=dict(os.environ if environment is None else environment),
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )
