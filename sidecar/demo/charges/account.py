"""The table of both sides, the sentence about it, and the same as a JSON document."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from sidecar.demo.charges.play import ChargePlay
from sidecar.demo.charges.side import ChargeSide

TITLE = "charges, as the payment services counted them"


@dataclass(frozen=True, slots=True)
class ChargeRow:
    """One row: its label, the number of each side, and whether more than so many is bad."""

    label: str
    number: Callable[[ChargeSide], float]
    most: float | None = None

    def text(self, side: ChargeSide) -> str:
        """The number as it is shown."""
        value = self.number(side)
        return str(value) if isinstance(value, int) else f"{value:.2f}"

    def bad(self, side: ChargeSide) -> bool:
        """Whether the number is one that it may not be."""
        return self.most is not None and self.number(side) > self.most


ROWS = (
    ChargeRow("orders", lambda side: side.service.orders),
    ChargeRow("charges", lambda side: side.service.charges),
    ChargeRow("orders charged twice or more", lambda side: side.service.twice, 0),
    ChargeRow("charges per order", lambda side: side.charges_per_order, 1.0),
    ChargeRow("most charges for one order", lambda side: side.service.most, 1),
)
CAUSES = (
    ChargeRow("orders begun by the client", lambda side: side.client.orders),
    ChargeRow("requests sent by the client", lambda side: side.client.tries),
    ChargeRow("requests that reached the service", lambda side: side.service.requests),
    ChargeRow("connections lost after the charge", lambda side: side.service.lost),
    ChargeRow("answers that came too late", lambda side: side.service.late),
    ChargeRow("orders the client knows to be paid", lambda side: side.client.paid),
)


@dataclass(frozen=True, slots=True)
class ChargeAccount:
    """Both sides at one instant."""

    play: ChargePlay
    seed: int
    gated: ChargeSide
    naive: ChargeSide

    @property
    def at_most_once(self) -> bool:
        """Whether every order behind the gate was charged at most once, and some were."""
        return self.gated.at_most_once and self.gated.service.charges > 0

    def table(self, title: str = TITLE) -> Table:
        """The figures side by side."""
        sides = (self.gated, self.naive)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title)
        table.add_column("")
        for side in sides:
            table.add_column(side.name, justify="right", min_width=10)
        for rows in (ROWS, CAUSES):
            for row in rows:
                style = [("bold red" if row.bad(side) else "green") if row.most is not None else "" for side in sides]
                cells = [Text(row.text(side), style=colour) for side, colour in zip(sides, style, strict=True)]
                table.add_row(row.label, *cells)
            table.add_section()
        return table

    def line(self, seconds: float) -> str:
        """The gist as one line, for what is not a terminal."""
        told = [
            f"{side.name}: {side.service.orders} orders, {side.service.charges} charges, {side.service.twice} twice"
            for side in (self.gated, self.naive)
        ]
        return " | ".join([f"{seconds:4.0f} s", *told])

    def verdict(self) -> str:
        """The outcome in plain words."""
        gated, naive = self.gated.service, self.naive.service
        behind = (
            f"Behind the gate none of {gated.orders} orders was charged twice"
            if self.gated.at_most_once
            else f"Behind the gate {gated.twice} of {gated.orders} orders were charged twice or more, which may not be"
        )
        unheard = self.gated.client.given_up
        known = f"; of {unheard} the client heard no outcome in {self.play.tries} tries" if unheard else ""
        return (
            f"{behind}{known}. The client that just tries again had {naive.twice} of {naive.orders} charged twice or "
            f"more, {naive.charges - naive.orders} charges too many."
        )

    def document(self) -> dict[str, object]:
        """Everything as plain values; times in seconds."""
        return {
            "seed": self.seed,
            "play": asdict(self.play),
            "gated": _plain(self.gated),
            "naive": _plain(self.naive),
            "at_most_once": self.at_most_once,
            "verdict": self.verdict(),
        }


def _plain(side: ChargeSide) -> dict[str, object]:
    return {
        "service": asdict(side.service),
        "client": asdict(side.client),
        "charges_per_order": side.charges_per_order,
    }
