"""Exceptions: the only way past a guardrail. Written, reviewed, bounded, and over by themselves.

They are read and checked here, and not yet applied: an override that needs one is refused, and a snapshot made from a
policy that has some says so in its warnings.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

from msgspec import UNSET

from sidecar.governance.decoder import Decoder
from sidecar.governance.document import PolicyException
from sidecar.governance.finding import Finding, unknown
from sidecar.governance.settings import SETTINGS
from sidecar.governance.yaml import Path, Tree

LONGEST = timedelta(days=90)


def live(exception: PolicyException, now: datetime) -> bool:
    """Whether the exception holds at `now`, an aware time: from 00:00 UTC of not_before until 00:00 UTC of expires."""
    begins = datetime.combine(exception.not_before, time(), UTC)
    ends = datetime.combine(exception.expires, time(), UTC)
    return begins <= now < ends


def check_exceptions(exceptions: list[PolicyException], tree: Tree, findings: list[Finding]) -> None:
    """Add what is wrong with the exceptions, whatever the time is, to `findings`."""
    decoder = Decoder(tree, findings)
    places = _places(tree)
    seen: set[str] = set()
    for exception in exceptions:
        path = next(path for path, identity in places if identity == exception.id)
        if exception.id in seen:
            decoder.broken((*path, "id"), "must not be another exception's id", exception.id)
        seen.add(exception.id)
        _check(exception, path, decoder)


def _places(tree: Tree) -> Iterator[tuple[Path, object]]:
    """Where each exception is written, with its id, in order: the broken ones are written too."""
    written = tree.at(("exceptions",)) if ("exceptions",) in tree.lines else []
    for index, entry in enumerate(written if isinstance(written, list) else []):
        yield ("exceptions", index), entry.get("id") if isinstance(entry, dict) else None


def _check(exception: PolicyException, path: Path, decoder: Decoder) -> None:
    if (exception.service is UNSET) == (exception.services is UNSET):
        decoder.lacking(path, "must name service or services, one of them")
    if exception.setting not in SETTINGS:
        decoder.lacking((*path, "setting"), f"{exception.setting} {unknown(exception.setting, SETTINGS)}")
    else:
        decoder.value(exception.value, SETTINGS[exception.setting], (*path, "value"))
    if exception.owner in exception.approved_by:
        decoder.broken((*path, "approved_by"), "must not be approved by its owner", exception.owner)
    if exception.expires <= exception.not_before:
        decoder.broken((*path, "expires"), "must be after not_before", exception.expires.isoformat())
    elif exception.expires - exception.not_before > LONGEST:
        decoder.broken((*path, "expires"), "must be at most 90 days after not_before", exception.expires.isoformat())
