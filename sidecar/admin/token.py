"""The token that changes through admin must show: in the file that the sidecar file names, or in one made at start."""

import hmac
import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from sidecar.governance.documents.file import read_regular

_TOKEN_CEILING_BYTES: Final = 16 << 10
MIN_LENGTH: Final = 16
"""Characters. A token is guessed at the speed of loopback."""


class AdminToken:
    """Reads `file` at each change, so that a token is replaced by writing the file. None: `prepare` makes one."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self._generated = file is None
        self._made: bytes | None = None
        """The token that was made."""

    def prepare(self, port: int) -> None:
        """Make the file where none is named, readable for this user alone. `port` is admin's, and tells sidecars apart.

        Raises OSError, its message naming the file, where a named one can not be used. Where none can be made, on a
        read-only file system, `file` stays None and no change is accepted.
        """
        if self._generated:
            self.file = _generate(port)
            self._made = None if self.file is None else _read(self.file)
        elif self.file is not None:
            _read(self.file)

    def matches(self, authorization: str) -> bool:
        """Whether this value of the header field has the token. Raises OSError where the file can not be read now."""
        scheme, _, given = authorization.partition(" ")
        if self.file is None or scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given.strip().encode("utf-8", "replace"), _read(self.file))

    def remove(self) -> None:
        """Take the file away that `prepare` made, unless another process has made its own in its place."""
        if self._generated and self.file is not None:
            with suppress(OSError):
                if _read(self.file) == self._made:
                    self.file.unlink(missing_ok=True)
            self.file = None


def _read(file: Path) -> bytes:
    try:
        token = read_regular(file, _TOKEN_CEILING_BYTES).strip()
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"admin.token_file {file}: can not be read: {reason}") from error
    if len(token) < MIN_LENGTH:
        raise OSError(0, f"admin.token_file {file}: must hold at least {MIN_LENGTH} characters, got {len(token)}")
    return token


def _generate(port: int) -> Path | None:
    """A file of our own in a folder of our own: in a folder that others write to, a name could be a link of theirs."""
    try:
        home = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())  # raises where no folder can be written
        folder = home / f"sidecar-{os.getuid()}"
        file = folder / f"admin-{port}.token"
        folder.mkdir(mode=0o700, exist_ok=True)
        owned = folder.lstat()
        if not stat.S_ISDIR(owned.st_mode) or owned.st_uid != os.getuid():
            return None
        folder.chmod(0o700)
        file.unlink(missing_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            opened.write(secrets.token_urlsafe(32) + "\n")
    except OSError:
        return None
    return file
