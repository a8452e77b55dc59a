"""The live page in a terminal: the verdict, a line for each destination, the last exchanges.

Colour says nothing that a sign or a word does not say too; blue and orange differ for the colour-blind too.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from sidecar.watch.document import DestinationState, ExchangeState, KeysState, LiveDocument
from sidecar.watch.printable import printable

BARS: Final = "▁▂▃▄▅▆▇█"
PLAIN_BARS: Final = ".:-=+*#@"
SIGNS: Final = {"idle": "○", "calm": "●", "unsettled": "◐", "limiting": "◆", "failing": "▲", "amplifying": "⇈"}
PLAIN_SIGNS: Final = {"idle": "-", "calm": "o", "unsettled": "~", "limiting": "#", "failing": "!", "amplifying": "^"}
COLOURS: Final = {
    "idle": "dim",
    "calm": "bright_blue",
    "unsettled": "yellow",
    "limiting": "bold medium_purple1",
    "failing": "bold orange1",
    "amplifying": "bold magenta",
}
ORDER: Final = ("amplifying", "failing", "limiting", "unsettled", "calm", "idle")
BREAKER_WORDS: Final = {"half_open": "half-open"}
WIDE: Final = 124
MEDIUM: Final = 108
NARROW: Final = 86
SLIM: Final = 56
SLIMMER: Final = 46
WORTH_TELLING_SECONDS: Final = 0.005
"""From here on a wait before the first attempt, for a slot or for the breaker's probe, is told."""
LINES_ABOVE_EXCHANGES: Final = 10
LEAST_EXCHANGES: Final = 3
USUAL_EXCHANGES: Final = 8
LINES_OF_KEYS: Final = 4
"""Of the part about idempotency keys, besides its routes."""
MOST_KEY_ROUTES: Final = 5


@dataclass(frozen=True, slots=True)
class Link:
    """The state of the connection: `lost_for` seconds without an answer, None while there is one; and the reason."""

    address: str
    lost_for: float | None = None
    reason: str = ""


class Screen:
    """Draws frames for one console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        utf = console.encoding.lower().startswith("utf")
        self._bars = BARS if utf else PLAIN_BARS
        self._signs = SIGNS if utf else PLAIN_SIGNS
        self._dash = "─" if utf else "-"

    def frame(self, document: LiveDocument, link: Link, height: int | None = None) -> RenderableType:
        """The picture; no taller than `height` lines, if given."""
        destinations = sorted(document.destinations, key=lambda one: ORDER.index(one.level))
        verdict = list(self._verdict(document, link))
        above = LINES_ABOVE_EXCHANGES - len(verdict) + sum(map(self._lines, verdict))
        keys: list[RenderableType] = []
        if document.keys is not None:
            keys = list(self._keys(document.keys))
            lines = LINES_OF_KEYS + min(len(document.keys.routes), MOST_KEY_ROUTES)
            needed = above + min(len(destinations), 3)
            if height is not None and needed + lines + USUAL_EXCHANGES > height:
                keys, lines = keys[:2], 2  # without the routes
            if height is not None and needed + lines + LEAST_EXCHANGES > height:
                keys, lines = [], 0
            above += lines
        room = None if height is None else max(1, height - above - LEAST_EXCHANGES)
        shown = destinations if room is None else destinations[:room]
        left = None if height is None else height - above - len(shown) - 1
        parts: list[RenderableType] = [
            self._top(document, link),
            Text(),
            *verdict,
            Text(),
            self._destinations(document, shown),
        ]
        if len(shown) < len(destinations):
            parts.append(Text(f" and {len(destinations) - len(shown)} more, none of them worse", style="dim"))
        parts += keys
        exchanges = list(reversed(document.exchanges))[: 10 if left is None else max(0, left - 1)]
        if exchanges:
            parts += [Text(), self._exchanges(exchanges)]
        return Group(*parts)

    def _top(self, document: LiveDocument, link: Link) -> Text:
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(" sidecar top  ", style="dim")
        text.append(printable(document.service), style="bold")
        text.append(f"  policy {document.policy.version}  {link.address}  {_clock(document.at)}  ", style="dim")
        if link.lost_for is None:
            text.append("live", style="bright_blue")
        else:
            text.append(f"disconnected for {link.lost_for:.0f} s, trying again", style="bold orange1")
        return text

    def _verdict(self, document: LiveDocument, link: Link) -> Iterable[Text]:
        headline = document.headline
        style = "dim" if link.lost_for is not None else COLOURS.get(headline.level, "")
        sign = self._signs.get(headline.level, "?")
        yield self._said(f" {sign} ", printable(headline.words), style)
        detail = printable(headline.detail)
        if link.lost_for is not None:
            detail = f"as it was then; {printable(link.reason)}"
        elif document.policy.error:
            detail = f"the last policy was refused: {printable(document.policy.error.splitlines()[0])}"
        elif document.ready:
            detail = f"not ready: {printable(document.ready[0])}"
        yield self._said("   ", detail, "dim")

    def _said(self, before: str, sentence: str, style: str) -> Text:
        """A sentence, on as many lines as it takes: what is cut off it is why retries were refused."""
        room = max(10, self._console.width - len(before))
        lines = Text(sentence).wrap(self._console, room)
        return Text(
            "\n".join((before if not n else "   ") + line.plain.rstrip() for n, line in enumerate(lines)), style
        )

    @staticmethod
    def _lines(text: Text) -> int:
        return text.plain.count("\n") + 1

    def _destinations(self, document: LiveDocument, shown: list[DestinationState]) -> Table:
        width = self._console.width
        table = _table()
        table.add_column("  destination", no_wrap=True, overflow="ellipsis", min_width=14, ratio=2)
        numbers = [("req/s", 5), ("att/req", 7), ("bound", 5), ("bad", 4), ("p99", 6)]
        for title, least in numbers if width >= SLIM else [("att/req", 7), ("bad", 4)]:
            table.add_column(title, justify="right", no_wrap=True, min_width=least)
        if width >= MEDIUM:
            table.add_column("in flight", justify="right", no_wrap=True, min_width=9)
            table.add_column("left", justify="right", no_wrap=True, min_width=5)
        if width >= SLIMMER:
            table.add_column("breaker", no_wrap=True, min_width=10)
        if width >= WIDE:
            table.add_column("attempts, last min", no_wrap=True, min_width=20)
        if width >= NARROW:
            table.add_column("refused", no_wrap=True, overflow="ellipsis", ratio=3)
        for one in shown:
            table.add_row(*self._cells(document, one, width))
        return table

    def _cells(self, document: LiveDocument, one: DestinationState, width: int) -> Iterable[Text]:
        lately = one.lately
        colour = COLOURS.get(one.level, "")
        yield Text.assemble((f"{self._signs.get(one.level, '?')} ", colour), (printable(one.name), "bold"))
        if width >= SLIM:
            yield Text(_rate(lately.requests / lately.seconds) if lately.seconds else "0")
        over = lately.amplification > lately.bound + 0.005
        judged = f"{lately.amplification:.2f}{'?' if lately.few and lately.amplification > 1.005 else ''}"
        yield Text(judged, style="bold magenta" if over and not lately.few else "")
        if width >= SLIM:
            yield Text(f"{lately.bound:.2f}", style="dim")
        share = lately.bad / lately.requests if lately.requests else None
        yield Text("-" if share is None else f"{share:.0%}", style="bold orange1" if share else "dim")
        if width >= SLIM:
            quantiles = document.history.series.get(one.name, {}).get("p99") or [None]
            yield Text(_seconds(quantiles[-1]))
        if width >= MEDIUM:
            waiting = f"+{one.concurrency.waiting}" if one.concurrency.waiting else ""
            limit = "" if one.concurrency.state == "open" else f"/{one.concurrency.limit:.0f}"
            yield Text(f"{one.concurrency.in_flight}{waiting}{limit}")
            yield Text(f"{one.budget.balance:.1f}")
        if width >= SLIMMER:
            state = one.breaker.state
            yield Text(
                BREAKER_WORDS.get(state, state), style={"closed": "dim", "open": "bold orange1"}.get(state, "yellow")
            )
        if width >= WIDE:
            yield self._spark(document, one.name)
        if width < NARROW:
            return
        yield Text(_counted(lately.refusals))

    def _keys(self, keys: KeysState) -> Iterable[RenderableType]:
        """The routes with a contract, the busiest first, below a line about all of them."""
        width = self._console.width
        store = keys.store
        line = Text("  idempotency keys  ", style="dim", no_wrap=True, overflow="ellipsis")
        line.append(f"{keys.unknown} unknown", style="bold orange1" if keys.unknown else "dim")
        line.append(
            f"  store {'failing' if store.failing else 'well'}", style="bold orange1" if store.failing else "dim"
        )
        line.append(f"  p99 {_seconds(store.p99)}  failures {store.failures}", style="dim")
        yield Text()
        yield line
        table = _table()
        table.add_column("  route", no_wrap=True, overflow="ellipsis", min_width=14, ratio=2)
        for title, least in [("requests", 8), ("replayed", 8), ("running", 7)] if width >= SLIM else [("requests", 8)]:
            table.add_column(title, justify="right", no_wrap=True, min_width=least)
        table.add_column("refused", no_wrap=True, overflow="ellipsis", ratio=3)
        if width >= NARROW:
            table.add_column("service asked", no_wrap=True, overflow="ellipsis", ratio=2)
        for one in sorted(keys.routes, key=lambda route: -route.requests)[:MOST_KEY_ROUTES]:
            cells = [f"  {printable(one.name)}", f"{one.requests:,}"]
            if width >= SLIM:
                runs = one.new + one.replayed
                cells += [f"{one.replayed / runs:.1%}" if runs else "-", str(one.running)]
            cells.append(_counted(one.refused))
            if width >= NARROW:
                cells.append("no probe" if one.probes is None else _counted(one.probes))
            table.add_row(*(Text(cell, style="bold" if not at else "") for at, cell in enumerate(cells)))
        yield table

    def _spark(self, document: LiveDocument, name: str) -> Text:
        """Twenty bars of three seconds: blue, and orange where a retry was among them."""
        history = document.history
        first, retry = history.column(name, "first")[-60:], history.column(name, "retry")[-60:]
        text = Text()
        loads = [sum(first[at : at + 3]) + sum(retry[at : at + 3]) for at in range(0, len(first), 3)]
        top = max([*loads, 1.0])
        for number, load in enumerate(loads):
            retried = any(retry[number * 3 : number * 3 + 3])
            bar = self._bars[min(len(self._bars) - 1, int(load / top * len(self._bars)))] if load else " "
            text.append(bar, style="orange1" if retried else "bright_blue")
        return text

    def _exchanges(self, exchanges: list[ExchangeState]) -> Table:
        width = self._console.width
        table = _table()
        table.add_column("  exchange", no_wrap=True, min_width=10)
        table.add_column("", no_wrap=True, overflow="ellipsis", ratio=4)
        if width >= SLIM:
            table.add_column("attempts", no_wrap=True, overflow="ellipsis", ratio=5 if width >= NARROW else 3)
            table.add_column("took", justify="right", no_wrap=True, min_width=6)
        results = [_result(one) for one in exchanges]
        least = max(10, *map(len, results)) if width >= SLIMMER else 4
        table.add_column("result", no_wrap=True, overflow="ellipsis", min_width=min(least, 25))
        for one, result in zip(exchanges, results, strict=True):
            alike = f" (+{one.alike})" if one.alike else ""
            cells = [
                Text(f"  {_clock(one.at)}", style="dim"),
                Text.assemble(
                    (printable(one.destination), "bold"), f" {printable(one.method)} {printable(one.target)}{alike}"
                ),
            ]
            if width >= SLIM:
                cells += [self._falls(one), Text(_seconds(one.seconds) if one.attempts else "-")]
            good = bool(one.status and one.status < 400)
            table.add_row(*cells, Text(result, style="" if good else "orange1"))
        return table

    def _falls(self, one: ExchangeState) -> Text:
        """Attempts and the pauses between them, in words: `503 2ms ─ 14ms ─ 200 3ms`."""
        if not one.attempts:
            return Text("never sent", style="dim")
        text = Text()
        if one.attempts[0].began >= WORTH_TELLING_SECONDS:
            text.append(f"waited {_seconds(one.attempts[0].began)} {self._dash} ", style="dim")
        end = one.attempts[0].began
        for number, attempt in enumerate(one.attempts):
            if number:
                text.append(f" {self._dash} {_seconds(max(0.0, attempt.began - end))} {self._dash} ", style="dim")
            good = attempt.outcome[:1] in "123"
            text.append(printable(attempt.outcome), style="bright_blue" if good else "orange1")
            text.append(f" {_seconds(attempt.seconds)}", style="dim")
            end = attempt.began + attempt.seconds
        return text


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="dim", expand=True)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{printable(word)} {count}" for word, count in sorted(counts.items(), key=lambda item: -item[1]))


def _result(one: ExchangeState) -> str:
    """`503 sidecar breaker_open` is an answer of our own, `503 budget_exhausted` the destination's."""
    ours = "sidecar " if one.answered_by == "sidecar" else ""
    return f"{one.status or one.outcome} {ours}{printable(one.refusal or '')}".rstrip()


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    if value < 0.9995:
        return f"{value * 1000:.1f}ms" if value < 0.00995 else f"{value * 1000:.0f}ms"
    return f"{value:.2f}s" if value < 10 else f"{value:.1f}s"
