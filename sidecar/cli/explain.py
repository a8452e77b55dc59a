"""`sidecar explain`: what would happen to this request, and which rule decides."""

import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NoReturn

import click
from rich.console import Console
from rich.text import Text

from sidecar.cli.authority import authority_option
from sidecar.cli.explain_config import explain_config
from sidecar.cli.forecast import Forecast, Outcome, Turn, Way, forecast, no_host, repeatable, way_of
from sidecar.cli.moment import moment
from sidecar.cli.policy.documents import snapshot_of
from sidecar.engine.outcome import FailureClass, Fault
from sidecar.governance.documents.units import Duration, Size
from sidecar.wire.head import RequestHead
from sidecar.wire.malformed import Malformed
from sidecar.wire.reader import RequestReader
from sidecar.wire.retry_after import parse_retry_after

_SHOWN_SECONDS: Final = 0.5
"""Shorter waits are not shown."""
_FAULTS: Final = [fault.value for fault in Fault]
_MEANING: Final = {
    FailureClass.TRANSIENT: "another attempt may fare better",
    FailureClass.THROTTLED: "another attempt may fare better, once its Retry-After is over; no failure to the breaker",
    FailureClass.PERMANENT: "another attempt would fare no better",
}


class ExplainCommand(click.Command):
    """`explain METHOD URL`, and `explain config`, which has flags of its own."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of whichever of the two it is."""
        if args[:1] == ["config"]:
            return explain_config.make_context(f"{info_name} config", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run whichever of the two the context is of."""
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


@click.command(cls=ExplainCommand)
@click.argument("method")
@click.argument("url")
@click.option("--status", type=click.IntRange(200, 599), metavar="N", help="What every attempt is answered.")
@click.option("--fault", type=click.Choice(_FAULTS), help="How every attempt ends, instead of an answer.")
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Of the request; may be repeated.")
@click.option("--retry-after", metavar="VALUE", help="Of the answer: seconds or an HTTP-date.")
@click.option("--took", default="0s", show_default=True, metavar="DURATION", help="How long each attempt takes.")
@click.option(
    "--rate", type=click.FloatRange(0, 10_000), default=100, show_default=True, help="Requests per second so far."
)
@click.option("--body", default="0B", show_default=True, metavar="SIZE", help="How long the request's body is.")
@click.option("--config", type=click.Path(path_type=Path), required=True, help="The service's sidecar file.")
@click.option("--policy", type=click.Path(path_type=Path), help="A policy to judge by, instead of the one it names.")
@authority_option
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--at", "now", metavar="DATE", callback=moment, help="As of this day or instant. [default: now]")
def explain(
    *,
    method: str,
    url: str,
    status: int | None,
    fault: str | None,
    headers: tuple[str, ...],
    retry_after: str | None,
    took: str,
    rate: float,
    body: str,
    config: Path,
    policy: Path | None,
    authority: Path | None,
    form: str,
    now: datetime,
) -> None:
    """Say what would happen to a request through the sidecar, attempt by attempt, and which rule decides each time.

    It is the engine that answers, under the policy in force: classification, the refusals in their order, the range of
    the back-off, Retry-After. `sidecar explain config` says where each setting of a sidecar comes from.

    \b
    sidecar explain POST http://payments:8080/charges --status 503 --retry-after 2 \\
        --header 'Idempotency-Key: 7c1e' --config config/sidecar.yaml
    """  # noqa: D301 - click knows \b by the character
    if (status is None) == (fault is None):
        raise click.UsageError("say what comes of each attempt: --status N or --fault WORD, one of them")
    outcome = Outcome(
        status,
        None if fault is None else Fault(fault),
        None if retry_after is None else parse_retry_after(retry_after.encode("utf-8"), b"", time.time()),
        float(_written(took, Duration, "--took")),
        rate,
    )
    body_bytes = int(_written(body, Size, "--body"))
    snapshot = snapshot_of(config, policy, authority, now, "explain")
    if url.lower().startswith("https://"):
        _end("it goes through a CONNECT tunnel, whose contents the sidecar can not see: give an http:// URL", form)
    try:
        head = _head(method, url, headers)
        way = way_of(head, snapshot)
    except Malformed as error:
        _end(f"refused at once: {error.status} {error.reason}: {error.detail}", form)
    if way is None:
        _end(f"refused at once: 502 unlisted: {no_host(head, snapshot)} (egress.unlisted is refuse)", form)
    until, why = repeatable(head, way)
    expected = forecast(way, until, body_bytes, outcome)
    if form == "json":
        click.echo(_json(way, why, until, expected, outcome))
    else:
        safety = f"{'safe' if until > 0 else 'not safe'} to send again once it may have been executed: {why}"
        _show(Console(soft_wrap=True), f"{method} {url}", snapshot.version, way, safety, expected, outcome)


def _head(method: str, url: str, headers: Sequence[str]) -> RequestHead:
    """The request as a client would send it to its proxy, read as the sidecar reads it. Raises Malformed."""
    scheme, _, rest = url.partition("://")
    if scheme.lower() != "http":
        raise Malformed(400, "bad_target", "the target is no http or https URL")
    authority = rest.partition("/")[0].partition("?")[0]
    lines = [f"{method} {url} HTTP/1.1", f"Host: {authority}", *headers, "", ""]
    head = RequestReader().feed("\r\n".join(lines).encode("utf-8"))
    if head is None:
        raise Malformed(400, "bad_target", "the head never ends")
    return head


def _written(text: str, form: type[Duration | Size], flag: str) -> float:
    try:
        return form.parse(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}, got {text!r}", param_hint=flag) from None


def _end(message: str, form: str) -> NoReturn:
    click.echo(json.dumps({"refused": message}) if form == "json" else message)
    sys.exit(0)


def _show(
    console: Console, title: str, version: int, way: Way, safety: str, expected: Forecast, outcome: Outcome
) -> None:
    lines: list[Text] = [
        Text.assemble((title, "bold"), f"  to {way.name}, {way.because}; policy version {version}"),
        Text(f"  {safety}"),
    ]
    kind = outcome.class_under(way.policy.retry)
    if kind is not None:
        lines.append(Text(f"  an attempt that {outcome} is {kind.value}: {_MEANING[kind]}"))
    for turn in expected.turns:
        step, colour = _step(turn)
        rules = "; ".join(_rules(turn, way))
        attempt = f"  attempt {turn.attempt} {_ending(turn, outcome)}: "
        lines.append(Text.assemble(attempt, (step, colour), (f"  {rules}" if rules else "", "dim")))
    lines.append(Text(f"  {_delivered(expected)}"))
    assumed = (
        f"Assumed: {outcome.rate:g} requests/s so far, all well. In an outage, breaker, limit and budget refuse more."
    )
    lines.append(Text(f"  {assumed}", style="dim"))
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _step(turn: Turn) -> tuple[str, str]:
    if turn.waits is None or turn.refusal is not None:
        refusal = turn.refusal
        if turn.late_after is not None and refusal is None:
            return "it is awaited", ""
        return ("no retry is wanted", "") if refusal is None else (f"no retry, {refusal.value}", "bold red")
    low, high = (Duration(round(wait, 3)) for wait in turn.waits)
    perhaps = "" if turn.perhaps is None else f", unless a long back-off makes it {turn.perhaps.value}"
    beside = " beside it" if turn.late_after is not None else ""
    return f"retry{beside} after {low} to {high}{perhaps}", "green"


def _rules(turn: Turn, way: Way) -> list[str]:
    said = [(setting, way.provenance[setting]) for setting in turn.settings if setting in way.provenance]
    return [f"{setting} {origin.value} ({origin.place})" for setting, origin in said]


def _ending(turn: Turn, outcome: Outcome) -> str:
    if turn.late_after is not None:
        return f"is late after {Duration(round(turn.late_after, 3))}"
    return str(outcome) if turn.ends or outcome.fault is not None else "is not answered in time"


def _delivered(expected: Forecast) -> str:
    last = expected.turns[-1]
    least, most = (Duration(round(seconds, 1)) for seconds in expected.seconds)
    after = "" if most < _SHOWN_SECONDS else f" after {least}" if least == most else f" after {least} to {most}"
    own = expected.status in {502, 504}
    answer = f"a {expected.status}" if own else f"the {expected.status} of attempt {expected.delivered}"
    refusal = "" if last.refusal is None else f" and x-sidecar-refusal: {last.refusal.value}"
    return f"The caller gets {answer}{after}, with x-sidecar-attempts: {last.attempt}{refusal}."


def _json(way: Way, why: str, until: float, expected: Forecast, outcome: Outcome) -> str:
    kind = outcome.class_under(way.policy.retry)
    return json.dumps(
        {
            "destination": way.name,
            "because": way.because,
            "safe_to_repeat": until > 0,
            "safety": why,
            "attempts": [
                {
                    "attempt": turn.attempt,
                    "outcome": str(outcome),
                    "late_seconds": turn.late_after,
                    "class": None if kind is None else kind.value,
                    "retry_seconds": None if turn.refusal else turn.waits,
                    "refusal": None if turn.refusal is None else turn.refusal.value,
                    "perhaps": None if turn.perhaps is None else turn.perhaps.value,
                    "rules": _rules(turn, way),
                }
                for turn in expected.turns
            ],
            "delivered": _delivered(expected),
            "status": expected.status,
            "seconds": expected.seconds,
        },
        indent=2,
        ensure_ascii=False,
    )
