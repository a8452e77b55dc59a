"""Several files as they were at one instant.

Documents belong together: a policy and its signature, a sidecar file and the policy it names. A kubelet replaces them
all at once by swapping a link; files read before and after the swap do not belong together.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from sidecar.governance.documents.file import read_regular
from sidecar.governance.documents.yaml import SIZE_CEILING_BYTES

_TRIES = 10
"""Files that move each time they are read are taken as they are; the next reading is told of the change."""


class Reading(Struct, frozen=True):
    """The contents of each file: its bytes, at most one more than a document may have, or why it can not be read."""

    contents: Mapping[Path, bytes | str]

    @property
    def fingerprint(self) -> str:
        """The same for the same bytes, or reasons, of the same files."""
        digest = hashlib.sha256()
        for file, content in self.contents.items():
            shape, said = ("bytes", content) if isinstance(content, bytes) else ("reason", content.encode())
            digest.update(f"{file}\0{shape}\0{len(said)}\0".encode("utf-8", "surrogateescape"))
            digest.update(said)
        return digest.hexdigest()


def read(files: Sequence[Path]) -> Reading:
    """Read the files, again when one of them was replaced meanwhile."""
    for _ in range(_TRIES):
        before = [_stamp(file) for file in files]
        contents = {file: _content(file) for file in files}
        if [_stamp(file) for file in files] == before:
            break
    return Reading(contents)


def _stamp(file: Path) -> tuple[object, ...]:
    """The identity of the file that the path leads to, and the time of its last change."""
    try:
        status = file.stat()
    except OSError as error:
        return (error.errno,)
    return (os.path.realpath(file), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _content(file: Path) -> bytes | str:
    try:
        return read_regular(file, SIZE_CEILING_BYTES)
    except OSError as error:
        return error.strerror or str(error)
