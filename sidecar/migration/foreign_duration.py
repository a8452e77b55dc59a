"""Durations as other tools write them, in seconds."""

import re
from decimal import Decimal
from typing import Final

from sidecar.governance.documents.units import Duration

_UNITS: Final = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_PART: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ns|us|µs|ms|s|m|h|d)")
_PARTS: Final = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,9})?(?:ns|us|µs|ms|s|m|h|d))+")
_ISO_8601: Final = re.compile(
    r"PT(?:([0-9]{1,6})H)?(?:([0-9]{1,6})M)?(?:([0-9]{1,9}(?:\.[0-9]{1,9})?)S)?", re.IGNORECASE
)
_MILLISECONDS: Final = re.compile(r"[0-9]{1,12}")


def duration(text: str, *, bare_milliseconds: bool = False) -> Duration | None:
    """Read `0.25s` (Protocol Buffers), `1m30s` (Go), and with `bare_milliseconds` `500` and `PT0.5S` (Spring).

    None where it is none of them. Precision is a microsecond.
    """
    if bare_milliseconds:
        if _MILLISECONDS.fullmatch(text):
            return _of(int(text) * _UNITS["ms"])
        iso = _ISO_8601.fullmatch(text)
        if iso is not None and any(iso.groups()):
            hours, minutes, seconds = (Decimal(part or 0) for part in iso.groups())
            return _of(hours * 3600 + minutes * 60 + seconds)
    if _PARTS.fullmatch(text) is None:
        return None
    return _of(sum((Decimal(count) * _UNITS[unit] for count, unit in _PART.findall(text)), Decimal(0)))


def _of(seconds: Decimal) -> Duration:
    return Duration(seconds.quantize(Decimal("1e-6")))
