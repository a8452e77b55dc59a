"""`sidecar report`: an incident on one page."""

import time
from datetime import UTC, datetime
from pathlib import Path

import click

from sidecar.cli.ending import give_up
from sidecar.cli.top import address_of
from sidecar.governance.documents.units import Duration
from sidecar.telemetry.history import ROW_SECONDS, ROWS
from sidecar.watch.document import Unreadable, decode, fetch, read
from sidecar.watch.incident import Span, incidents
from sidecar.watch.incident_page import page
from sidecar.watch.printable import printable


class Instant(click.ParamType[float]):
    """`now`, `-10m`, a time of today, or an ISO 8601 time; without a zone it is local."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds since 1970."""
        if isinstance(value, float):
            return value
        text = str(value)
        now = time.time()
        if text == "now":
            return now
        if text.startswith("-"):
            try:
                return now - float(Duration.parse(text[1:]))
            except ValueError as error:
                self.fail(f"{error}, got {text!r}", param, ctx)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(
                f"must be now, a duration ago like -10m, or a time like 2026-11-24T09:30:00Z, got {text!r}", param, ctx
            )
        try:
            return moment.timestamp()
        except (ValueError, OverflowError):  # the first and the last day there are, in another zone
            self.fail(f"must be a time that clocks can show, got {text!r}", param, ctx)


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})  # -2h is a time
@click.argument("begins", metavar="[FROM]", type=Instant(), default="-15m")
@click.argument("ends", metavar="[TO]", type=Instant(), default="now")
@click.option(
    "--admin", default="127.0.0.1:16000", show_default=True, metavar="ADDRESS", help="The sidecar's admin port."
)
@click.option(
    "--from-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="What `sidecar top --json` printed, instead of a running sidecar.",
)
@click.option("--destination", "only", metavar="NAME", multiple=True, help="Only of this one; may be given again.")
@click.option("--utc", is_flag=True, help="Show times in UTC instead of the local zone.")
@click.option(
    "-o",
    "--output",
    default="incident.html",
    show_default=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where to write it; - for standard output.",
)
def report(
    *, begins: float, ends: float, admin: str, from_file: Path | None, only: tuple[str, ...], utc: bool, output: Path
) -> None:
    """Tell what happened between FROM and TO on one page of HTML, for those who were not there.

    What the dependency did, what our callers did, the attempts per request against their bound, the load that budget
    and breaker held back, what it would have been without them (an estimate, with its formula), the time to recover.

    FROM and TO are ISO 8601 times, durations ago like -10m, or now; a sidecar keeps fifteen minutes.
    """
    if ends - begins < ROW_SECONDS:
        give_up("sidecar report", "FROM must be before TO, by a second or more")
    address = address_of(admin)
    where = f"http://{address}/" if from_file is None else str(from_file)
    try:
        document = decode(fetch(address, ROWS) if from_file is None else read(from_file), where)
    except Unreadable as error:
        give_up("sidecar report", str(error))
    times = document.history.times
    if not times:
        give_up("sidecar report", f"{where} has kept no second yet")
    if ends <= times[0] or begins >= times[-1]:
        kept = " to ".join(
            datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds") for at in (times[0], times[-1])
        )
        give_up("sidecar report", f"{where} has nothing of that time: it has kept {kept}")
    told = incidents(document, begins, ends)
    for name in only:
        if name not in {one.name for one in told}:
            give_up("sidecar report", f"--destination: nothing was asked of {printable(name)} then")
    span = Span(max(begins, times[0] - 1), min(ends, times[-1]))
    zone = UTC if utc else datetime.now(UTC).astimezone().tzinfo or UTC
    text = page(
        [one for one in told if not only or one.name in only],
        service=document.service,
        version=document.version,
        told_at=document.at,
        span=span,
        zone=zone,
        bypassing={name: count for name, count in document.bypassing.items() if not only or name in only},
        observing=[line for name, line in document.observing.items() if not only or name in only],
    )
    if str(output) == "-":
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        give_up("sidecar report", f"{output}: {error.strerror or error}")
    click.echo(f"written to {output}")
