"""Files the process may have open, and how many of them callers get: each needs a second one, towards its destination.

Without a share for the way out a flood of callers takes all of them, and then no request can be sent: what is lacking
here would look like a destination that can not be connected to.
"""

import errno
import os
import resource
import socket
from contextlib import suppress
from typing import Final

from sidecar.wire.misdirected import Misdirected

_RESERVED: Final = 192
"""For the admin plane's connections (64 on each of its two listeners), listeners, name look-ups, documents and logs."""
_ENOUGH: Final = 1 << 20
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class OutOfFiles(Misdirected, ConnectionError):
    """A connection could not be opened for want of a file or of memory here: no word about whom it was for."""

    def __init__(self) -> None:
        super().__init__(
            503, "out_of_files", "the sidecar has no file or memory left for a connection; nothing was sent"
        )


def raise_limit() -> int:
    """Ask for as many open files as the process may have; how many it has then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # no harm: it is what the process was given
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return _ENOUGH if soft == resource.RLIM_INFINITY else soft


def caller_connections(open_files: int) -> int:
    """The most connections that callers may hold together, by the limit of open files."""
    return max(1, (open_files - min(_RESERVED, open_files // 2)) // 2)


def exhausted(error: BaseException) -> bool:
    """Whether an error of a connect or a look-up says that this process has no file or memory left."""
    if isinstance(error, OutOfFiles) or (isinstance(error, OSError) and error.errno in _EXHAUSTED):
        return True
    cause = error.__cause__
    return isinstance(cause, socket.gaierror) and not _one_left()


def _one_left() -> bool:
    """Whether a file could be opened now: a name look-up does not say why it has failed."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno not in _EXHAUSTED
    return True
