"""The table as a page of the demo's own: both sides, while they run. Read-only, made at each request, no script."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from html import escape
from typing import Final

from sidecar.demo.charges.account import CAUSES, ROWS, ChargeAccount, ChargeRow
from sidecar.demo.charges.side import ChargeSide

PATIENCE_SECONDS: Final = 5.0
LONGEST_HEAD: Final = 16 * 1024
HEADERS: Final = (
    "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'\r\nConnection: close\r\n"
)
TITLE: Final = "The same orders, paid on both sides"
RUNNING: Final = (
    "Answers get lost after the charge, and both clients try again. The numbers are as of now; this page is read again "
    "each second."
)
STYLE: Final = """
:root { color-scheme: light dark; --ground: #f4f6f8; --card: #fff; --ink: #15202b; --soft: #52616f; --line: #dde3ea;
  --good: #1a7f5a; --bad: #b3123f; --link: #2b6199; }
@media (prefers-color-scheme: dark) { :root { --ground: #0d1319; --card: #151d25; --ink: #e9eff5; --soft: #9fb0c0;
  --line: #2a3642; --good: #4fc796; --bad: #ff7a9c; --link: #8fc0ee; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 880px; padding: 24px clamp(14px, 3vw, 32px) 40px; background: var(--ground);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  font-variant-numeric: tabular-nums; }
h1 { font-size: clamp(22px, 3.4vw, 32px); line-height: 1.2; margin: 0 0 6px; letter-spacing: -.015em; }
p { margin: 0 0 18px; color: var(--soft); }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: 14px; margin-bottom: 18px; }
.side { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 16px 20px; min-width: 0; }
.side h2 { font-size: 15px; font-weight: 560; color: var(--soft); margin: 0; }
.side b { display: block; font-size: clamp(34px, 7vw, 54px); line-height: 1.15; letter-spacing: -.02em; }
.side span { color: var(--soft); font-size: 14px; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 650; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 6px 20px; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: 7px 0 7px 18px; text-align: right; font-weight: 400; border-top: 1px solid var(--line); }
th:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--soft); border-top: 0; font-size: 14px; }
tbody + tbody tr:first-child > * { border-top: 2px solid var(--line); }
a { color: var(--link); }
.more { margin-top: 18px; }
@media (max-width: 430px) { .side { padding: 12px 14px; } .scroll { padding: 4px 14px; }
  th, td { padding-left: 10px; } }
"""


class ChargesBoard:
    """Serves the page at a port of 127.0.0.1. `told` gives the account as it stands and whether it is the last one."""

    def __init__(self, told: Callable[[], tuple[ChargeAccount, bool]], live_page: str) -> None:
        self._told = told
        self._live_page = live_page
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Serve; returns the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=LONGEST_HEAD)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def stop(self) -> None:
        """Serve no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # it has gone, or it says nothing that is to be answered
        finally:
            with suppress(OSError):
                writer.close()

    def _answer(self, head: bytes) -> bytes:
        words = head.split(b" ", 2)
        if len(words) < 3 or words[0] not in (b"GET", b"HEAD"):
            return _whole("405 Method Not Allowed", "<!doctype html><title>405</title><p>GET only.")
        if words[1].partition(b"?")[0] != b"/":
            return _whole("404 Not Found", '<!doctype html><title>404</title><p><a href="/">The table</a>')
        account, over = self._told()
        return _whole("200 OK", board_page(account, self._live_page, over=over), to_head=words[0] == b"HEAD")


def board_page(account: ChargeAccount, live_page: str, *, over: bool) -> str:
    """The page. It asks for itself again each second until it is `over`."""
    sides = (account.gated, account.naive)
    said = account.verdict() if over else RUNNING
    again = "" if over else '<meta http-equiv="refresh" content="1">'
    heads = "".join(f'<th scope="col">{escape(side.name)}</th>' for side in sides)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">{again}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Charges · Retry Sidecar</title><style>{STYLE}</style></head>
<body><main>
<h1>{TITLE}</h1>
<p>{escape(said)}</p>
<div class="sides">{"".join(map(_card, sides))}</div>
<div class="scroll"><table>
<thead><tr><th scope="col">as the services counted</th>{heads}</tr></thead>
{"".join(_rows(rows, sides) for rows in (ROWS, CAUSES))}
</table></div>
<p class="more">What the gate did about it: <a href="{escape(live_page)}">the sidecar's live page</a>.</p>
</main></body></html>
"""


def _card(side: ChargeSide) -> str:
    number = f"{side.charges_per_order:.2f}" if side.service.orders else "none"
    verdict = "good" if side.at_most_once else "bad"
    return (
        f'<section class="side"><h2>{escape(side.name)}</h2><b class="{verdict}">{number}</b>'
        f"<span>charges per order; {side.service.twice} of {side.service.orders} orders charged twice or more</span>"
        "</section>"
    )


def _rows(rows: Sequence[ChargeRow], sides: Sequence[ChargeSide]) -> str:
    return "".join(["<tbody>", *(_row(row, sides) for row in rows), "</tbody>"])


def _row(row: ChargeRow, sides: Sequence[ChargeSide]) -> str:
    cells = "".join(f'<td class="{"bad" if row.bad(side) else ""}">{row.text(side)}</td>' for side in sides)
    return f'<tr><th scope="row">{escape(row.label)}</th>{cells}</tr>'


def _whole(status: str, text: str, *, to_head: bool = False) -> bytes:
    body = text.encode()
    head = f"HTTP/1.1 {status}\r\n{HEADERS}Content-Length: {len(body)}\r\n\r\n".encode()
    return head if to_head else head + body
