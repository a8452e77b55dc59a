"""The clock, by what servers say the date is, and all that is judged by it: certificates and exceptions."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Final

from sidecar.doctor.diagnosis import Check, Diagnosis, fine, found, unjudged
from sidecar.doctor.reachability import Reached
from sidecar.doctor.validity import validities
from sidecar.governance.documents.file import read_regular
from sidecar.governance.documents.yaml import SIZE_CEILING_BYTES
from sidecar.governance.policy.snapshot import Snapshot
from sidecar.governance.policy.waivers import State, begins_at
from sidecar.governance.trust.certificates import CertificateFile

TOLERANCE_SECONDS: Final = 30.0
SOON: Final = timedelta(days=14)


def clock(results: Sequence[Reached]) -> Iterator[Diagnosis]:
    """Compare this clock with the Date of each server that told one; most of them are believed."""
    told = {str(each.target): each.offset for each in results if each.offset is not None}
    if not told:
        yield unjudged(
            Check.CLOCK,
            "not compared: no server that could be reached told a Date",
            "compare it by hand: date -u, and on a machine whose clock is right",
        )
        return
    off = median(told.values())
    if abs(off) > TOLERANCE_SECONDS:
        way = "behind" if off > 0 else "ahead of"
        yield found(
            "clock_off",
            f"this clock is {_length(abs(off))} {way} that of {_servers(list(told))}",
            "let the machine keep time: timedatectl set-ntp true, or chrony; a container has its node's clock",
        )
        return
    agreeing = [name for name, offset in told.items() if abs(offset - off) <= TOLERANCE_SECONDS]
    for name, offset in told.items():
        if name not in agreeing:
            way = "ahead of" if offset > 0 else "behind"
            cure = "let that machine keep time; if it is this one that is wrong, this one"
            yield found("clock_disagrees", f"{name}: its clock is {_length(abs(offset))} {way} this one", cure)
    yield fine(Check.CLOCK, f"within {TOLERANCE_SECONDS:g} s of {_servers(agreeing)}")


def lives(snapshot: Snapshot, results: Sequence[Reached], now: datetime) -> Iterator[Diagnosis]:
    """Certificates of ours, those that endpoints show, and exceptions: what is over, or has not begun."""
    for file in _ours(snapshot):
        try:
            found_lives = validities(read_regular(file.path, SIZE_CEILING_BYTES))
        except OSError:
            continue  # is told by the permissions
        for life in found_lives:
            yield from _life(f"{file.field} {file.path}", life.begins, life.ends, now)
    for each in results:
        if each.expires is not None:
            ends = datetime.fromtimestamp(each.expires, UTC)
            yield from _life(f"the certificate of {each.target}", now, ends, now)
    for grant, state in zip(snapshot.exceptions, snapshot.states, strict=True):
        if state is State.PENDING:
            begins = begins_at(grant.exception)
            cure = "wait, or have the platform's team change not_before"
            yield found("exception_pending", f"exception {grant.id} begins at {begins:%Y-%m-%d %H:%M} UTC", cure)


def _ours(snapshot: Snapshot) -> Iterable[CertificateFile]:
    """The documents that are shown and those that are trusted, each file once."""
    files = [file for block in snapshot.certificate_files for file in (block.ca, block.cert)]
    return dict.fromkeys(file for file in files if file is not None)


def _life(name: str, begins: datetime, ends: datetime, now: datetime) -> Iterator[Diagnosis]:
    if now < begins:
        what = f"{name}: not valid before {begins:%Y-%m-%d %H:%M} UTC, and it is {now:%Y-%m-%d %H:%M}"
        yield found("certificate_pending", what, "compare the clock (date -u), or issue a certificate that has begun")
    elif now >= ends:
        yield found(
            "certificate_expired",
            f"{name}: over since {ends:%Y-%m-%d %H:%M} UTC",
            "renew it and replace the file; no restart is needed",
        )
    elif ends - now < SOON:
        cure = "renew it and replace the file; no restart is needed"
        yield found("certificate_expires", f"{name}: ends at {ends:%Y-%m-%d %H:%M} UTC", cure)


def _length(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else str(timedelta(seconds=round(seconds)))


def _servers(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} servers"
