"""A file that is read as a document, a certificate or a token: a regular one, read at once and up to a size."""

import errno
import os
import stat
from pathlib import Path


def read_regular(file: Path, ceiling_bytes: int) -> bytes:
    """The bytes of a file, one more than `ceiling_bytes` at most. Raises OSError.

    A pipe in the place of a file would block the reader until something is written to it: what is no regular file
    is refused without waiting for anything.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(file))
        return stream.read(ceiling_bytes + 1)
