"""The version of a sidecar that a policy asks for, compared as Semantic Versioning does (semver.org, 11)."""

import re
from typing import Final, Self

_VERSION: Final = re.compile(r"(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})")


class SidecarVersion(str):
    """`X.Y.Z`; it is its own text."""

    __slots__ = ()

    @classmethod
    def parse(cls, written: object) -> Self:
        """Read `0.2.0`. Raises ValueError with the rule it breaks."""
        if not isinstance(written, str) or not _VERSION.fullmatch(written):
            raise ValueError('must be a version of three numbers in quotes, like "0.2.0"')
        return cls(written)

    def newer_than(self, version: str) -> bool:
        """Whether the sidecar of that version is too old; what follows its three numbers (`rc1`) is left out."""
        found = _VERSION.match(version)
        return found is not None and _numbers(self) > _numbers(found[0])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
