"""`sidecar top`: the live page in a terminal."""

import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click
from rich.console import Console
from rich.live import Live

from sidecar.net import Address
from sidecar.telemetry.history import ROWS
from sidecar.watch.document import LiveDocument, Unreadable, decode, fetch
from sidecar.watch.screen import Link, Screen

try:
    import termios
    import tty
except ImportError:  # not on this system: then Ctrl-C ends it, and q does not
    termios = None  # type: ignore[assignment]

SECONDS_SHOWN = 60

Quitting = Callable[[float], bool]
"""Waits so many seconds, or until it is asked to quit; whether it was."""


@click.command()
@click.option(
    "--admin", default="127.0.0.1:16000", show_default=True, metavar="ADDRESS", help="The sidecar's admin port."
)
@click.option("--once", is_flag=True, help="Print it once and end; so it does when it is not a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print all that the sidecar says, as JSON, and end.")
@click.option(
    "--interval", type=click.FloatRange(0.2, 60.0), default=1.0, show_default=True, help="Seconds between two looks."
)
def top(*, admin: str, once: bool, as_json: bool, interval: float) -> None:
    """Show what a running sidecar does, destination by destination. q or Ctrl-C ends it.

    Whether it amplifies, towards whom, and why retries were refused; the same as the page at the admin port.
    """
    address = address_of(admin)
    try:
        content = fetch(address, ROWS if as_json else SECONDS_SHOWN)
        document = decode(content, f"http://{address}/")
    except Unreadable as error:
        click.echo(f"sidecar top: {error}", err=True)
        sys.exit(2)
    if as_json:
        click.echo(content.decode().rstrip("\n"))
        return
    console = Console(highlight=False)
    screen = Screen(console)
    if once or not console.is_terminal:
        console.print(screen.frame(document, Link(str(address))))
        return
    try:
        _watch(console, screen, document, address, interval)
    except KeyboardInterrupt:
        return


def address_of(text: str) -> Address:
    """The address a flag names; `http://` in front and a slash behind it are forgiven."""
    bare = text.removeprefix("http://").rstrip("/")
    try:
        return Address.parse(bare)
    except ValueError as error:
        raise click.BadParameter(f"{error}, got {text!r}", param_hint="--admin") from None


def _watch(console: Console, screen: Screen, document: LiveDocument, address: Address, interval: float) -> None:
    link = Link(str(address))
    heard = time.monotonic()
    with (
        _ctrl_c() as pressed,
        _keys() as quitting,
        Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live,
    ):
        while True:
            live.update(screen.frame(document, link, console.height), refresh=True)
            if pressed() or quitting(interval):
                return
            try:
                document = decode(fetch(address, SECONDS_SHOWN), f"http://{address}/")
            except Unreadable as error:
                link = Link(str(address), time.monotonic() - heard, str(error))
            else:
                heard = time.monotonic()
                link = Link(str(address))


@contextmanager
def _ctrl_c() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed.

    It interrupts as ever, also where the parent ignores it, as shells do in the background; but one that comes
    while something is finalised is swallowed there, and would have to be pressed again.
    """
    pressed = False

    def press(_number: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _keys() -> Iterator[Quitting]:
    """A question that waits and says whether q was pressed meanwhile; the terminal is as it was afterwards."""
    if termios is None or not sys.stdin.isatty():
        yield _sleep
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    try:
        yield _asked
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _asked(seconds: float) -> bool:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select([sys.stdin], [], [], left)
        if ready and sys.stdin.read(1) in {"q", "Q", ""}:
            return True
    return False


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False
