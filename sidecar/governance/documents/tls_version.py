"""Versions of TLS as people write them, with quotes or without."""

import ssl
from typing import Final, Self

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class TlsVersion(str):
    """The oldest version that is spoken. It is its own text, "1.2" or "1.3"; older ones never are."""

    __slots__ = ()

    @classmethod
    def parse(cls, written: object) -> Self:
        """Read "1.2", or 1.2, which YAML takes for a number. Raises ValueError with the rule it breaks."""
        text = str(written) if type(written) is float else written
        if isinstance(text, str) and text in _VERSIONS:
            return cls(text)
        raise ValueError("must be 1.2 or 1.3")

    @property
    def number(self) -> ssl.TLSVersion:
        """The standard library's word for it."""
        return _VERSIONS[self]
