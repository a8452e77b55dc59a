"""A sidecar's memory over restarts: the last good policy, the one before, and the highest version seen.

One file for each service, replaced whole: after a crash it says what it said before or after, never half of each. What
it holds is believed no more than what the source says; it is verified and judged again when it is read.
"""

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from sidecar.governance.documents.file import read_regular
from sidecar.governance.documents.version import CEILING as VERSION_CEILING
from sidecar.governance.policy.delivery import Delivery
from sidecar.net import redacted

_SIZE_CEILING_BYTES: Final = 8 << 20
_MODE: Final = 0o700


class CacheFault(OSError):
    """The file can not be read or written; its text says which and why. Nothing that governs depends on it."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One policy that was in force."""

    version: int
    name: str
    content: str
    """UTF-8, as every policy is; the exact bytes again when it is encoded."""
    sha256: str
    signature: str | None = None
    etag: str | None = None

    @classmethod
    def of(cls, delivery: Delivery, version: int, etag: str | None) -> "Kept":
        """A policy that has been judged, and so is known to be UTF-8."""
        return cls(
            version=version,
            name=delivery.name,
            content=delivery.content.decode("utf-8"),
            sha256=hashlib.sha256(delivery.content).hexdigest(),
            signature=None if delivery.signature is None else delivery.signature.decode("utf-8"),
            etag=etag,
        )

    @property
    def delivery(self) -> Delivery:
        """As it came once."""
        signature = None if self.signature is None else self.signature.encode()
        return Delivery(redacted(self.name), self.content.encode(), signature)

    @property
    def intact(self) -> bool:
        """Whether the bytes are those that were kept."""
        return hashlib.sha256(self.content.encode("utf-8", "surrogatepass")).hexdigest() == self.sha256


class Memory(msgspec.Struct, kw_only=True):
    """Of one source, which is named by its place in the sidecar file."""

    source: str
    version: int = 0
    """The highest one seen; a lower one is refused."""
    aborted: list[int] = []
    """Versions that amplified here."""
    current: Kept | None = None
    """The policy in force."""
    previous: Kept | None = None
    """The version that was in force before it."""


class PolicyCache:
    """The memory of one service, in a folder of the machine."""

    def __init__(self, folder: Path, service: str) -> None:
        self._file = folder / f"{quote(service, safe='')}.policy.json"

    def recall(self, source: str) -> Memory | None:
        """The memory of this source; None when there is none. Raises CacheFault."""
        try:
            memory = msgspec.json.decode(read_regular(self._file, _SIZE_CEILING_BYTES), type=Memory)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CacheFault(f"{self._file}: can not be read: {error.strerror}") from error
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise CacheFault(f"{self._file}: is not what was kept; it is put aside at the next good policy") from None
        if memory.version > VERSION_CEILING:
            raise CacheFault(f"{self._file}: is not what was kept; it is put aside at the next good policy")
        if any(kept is not None and not kept.intact for kept in (memory.current, memory.previous)):
            raise CacheFault(f"{self._file}: is not what was kept; it is put aside at the next good policy")
        return memory if memory.source == source else None

    def keep(self, memory: Memory) -> None:
        """Remember, on the disk when this returns. Raises CacheFault; what was remembered before is kept then."""
        content = msgspec.json.encode(memory)
        draft = None
        try:
            self._file.parent.mkdir(mode=_MODE, parents=True, exist_ok=True)
            descriptor, draft = tempfile.mkstemp(prefix=".policy-", dir=self._file.parent)  # 0600
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            Path(draft).replace(self._file)
            draft = None
            _sync_folder(self._file.parent)
        except OSError as error:
            raise CacheFault(f"{self._file}: can not be written: {error.strerror}") from error
        finally:
            if draft is not None:
                with suppress(OSError):
                    Path(draft).unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
