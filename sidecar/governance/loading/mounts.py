"""Files that never change under those who read them: mounted by themselves instead of in their directory.

A kubelet updates a mounted ConfigMap by swapping a link in its directory. A `subPath` mount, or one file of a bind
mount, is the file of the day it was mounted: its directory has no link to swap.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

MOUNTINFO: Final = Path("/proc/self/mountinfo")

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def mounted_by_themselves(files: Iterable[Path], mountinfo: Path = MOUNTINFO) -> list[Path]:
    """Those of the files that are mount points. Empty where the system does not tell."""
    points = _mount_points(mountinfo)
    return [file for file in files if points and file.is_file() and str(file.resolve()) in points]


def _mount_points(mountinfo: Path) -> frozenset[str]:
    """proc(5): the fifth field of each line, with blanks and backslashes in octal."""
    points = set()
    with suppress(OSError):
        for line in mountinfo.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            fields = line.split(" ")
            if len(fields) > 4:
                points.add(_ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[4]))
    return frozenset(points)
