"""Durations and sizes as people write them: always with a unit, so that none has to be guessed."""

import re
from decimal import Decimal
from typing import Self

from sidecar.governance.documents.finding import BrokenRule, RuleId

_DURATION = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)(ms|s|m|h)")
_SIZE = re.compile(r"([0-9]{1,12})(B|KiB|MiB|GiB)")
_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


class Duration(float):
    """Seconds. Written `250ms`, `2s`, `1m` or `24h`; its text is the shortest such form and reads back as itself."""

    __slots__ = ()

    @classmethod
    def parse(cls, written: object) -> Self:
        """Read what was written. Raises ValueError with the rule it breaks; a bare number has no unit."""
        match = _DURATION.fullmatch(written) if isinstance(written, str) else None
        if match is None:
            raise BrokenRule("must be a duration with its unit, like 250ms, 2s, 1m or 24h", RuleId.UNIT)
        return cls(Decimal(match[1]) * _SECONDS[match[2]])

    def __str__(self) -> str:
        seconds = Decimal(repr(float(self)))
        for unit in ("h", "m", "s", "ms"):
            count = seconds / _SECONDS[unit]
            if count == count.to_integral_value() and (count or unit == "s"):
                return f"{int(count)}{unit}"
        return f"{seconds:f}s"


class Size(int):
    """Bytes. Written `64KiB` or `1MiB`; 0 alone needs no unit."""

    __slots__ = ()

    @classmethod
    def parse(cls, written: object) -> Self:
        """Read what was written. Raises ValueError with the rule it breaks."""
        if type(written) is int and written == 0:
            return cls(0)
        match = _SIZE.fullmatch(written) if isinstance(written, str) else None
        if match is None:
            raise BrokenRule("must be a size with its unit, like 64KiB or 1MiB", RuleId.UNIT)
        return cls(int(match[1]) * _BYTES[match[2]])

    def __str__(self) -> str:
        for unit in ("GiB", "MiB", "KiB"):
            if self and self % _BYTES[unit] == 0:
                return f"{self // _BYTES[unit]}{unit}"
        return f"{int(self)}B"


class BodyLimit(Size):
    """The most bytes of a request body, or none at all: written as a size or "off", in quotes as YAML wants it."""

    __slots__ = ()

    @classmethod
    def parse(cls, written: object) -> Self:
        """Read what was written. Raises ValueError with the rule it breaks."""
        if written == "off":
            return cls(-1)
        try:
            return super().parse(written)
        except ValueError:
            raise BrokenRule('must be "off" or a size with its unit, like 1MiB', RuleId.UNIT) from None

    @property
    def off(self) -> bool:
        """Whether bodies of any size may pass."""
        return self < 0

    def __str__(self) -> str:
        return "off" if self.off else super().__str__()
