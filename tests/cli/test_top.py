"""`sidecar top`, as a pipe sees it and as a terminal does."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from sidecar.cli.top import _watch, address_of, top
from sidecar.net import Address
from sidecar.watch.document import decode, fetch
from sidecar.watch.screen import Screen
from tests.admin.scenery import storm
from tests.admin.shown import Shown, shown


@pytest.fixture(scope="module")
def stand() -> Iterator[Shown]:
    with shown(storm(60, after=-1)) as one:
        yield one


class Terminal:
    """`sidecar top` in a pseudo-terminal of 100 columns and 30 lines."""

    def __init__(self, *arguments: str) -> None:
        self.seen = ""
        main, side = pty.openpty()
        self._main = main
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sidecar", "top", "--interval", "0.2", *arguments],
            stdin=side,
            stdout=side,
            stderr=side,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30", "LANG": "C.UTF-8"},
            start_new_session=True,
        )
        os.close(side)

    def until(self, words: str, seconds: float = 60.0) -> str:
        """What came until the words did, without what only a terminal obeys."""
        self.seen = ""
        while words not in self._plain():
            ready, _, _ = select.select([self._main], [], [], seconds)
            assert ready, f"{words!r} never came:\n{self._plain()}"
            try:
                self.seen += os.read(self._main, 65536).decode(errors="replace")
            except OSError:  # the other side is closed
                assert words in self._plain(), self._plain()
        return self._plain()

    def press(self, key: str) -> None:
        os.write(self._main, key.encode())

    def end(self) -> int:
        """The exit code, with the rest of what came in `seen`.

        A terminal is read to its end: a program that gives it back waits until all it wrote has been taken.
        """
        while select.select([self._main], [], [], 10.0)[0]:
            try:
                self.seen += os.read(self._main, 65536).decode(errors="replace")
            except OSError:  # the other side is closed
                break
        os.close(self._main)
        return self.process.wait(10)

    def _plain(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.seen)


def test_once_prints_the_verdict_and_a_line_for_each_destination(stand: Shown) -> None:
    result = CliRunner().invoke(top, ["--once", "--admin", f"127.0.0.1:{stand.port}"], env={"COLUMNS": "120"})

    assert result.exit_code == 0
    assert "payments is failing" in result.output
    assert all(name in result.output for name in ("payments", "ledger", "search"))
    assert "\x1b" not in result.output


def test_json_is_the_whole_document(stand: Shown) -> None:
    result = CliRunner().invoke(top, ["--json", "--admin", f"http://127.0.0.1:{stand.port}/"])

    document = decode(result.output.encode(), "there")
    assert result.exit_code == 0
    assert len(document.history.times) == 60


def test_a_sidecar_that_is_not_there_is_one_line_and_code_2() -> None:
    result = CliRunner().invoke(top, ["--admin", "127.0.0.1:9"])

    assert result.exit_code == 2
    assert result.stderr == "sidecar top: no sidecar answers at http://127.0.0.1:9/: Connection refused\n"


def test_an_address_that_is_none_is_code_2() -> None:
    result = CliRunner().invoke(top, ["--admin", "somewhere"])

    assert result.exit_code == 2
    assert "--admin" in result.stderr
    with pytest.raises(click.BadParameter):
        address_of("")


def test_a_terminal_is_drawn_anew_and_q_gives_it_back_as_it_was(stand: Shown) -> None:
    terminal = Terminal("--admin", f"127.0.0.1:{stand.port}")
    try:
        first = terminal.until("payments is failing")
        second = terminal.until("payments is failing")
        terminal.press("q")
        code = terminal.end()
    finally:
        terminal.process.kill()
        terminal.process.wait()

    assert "sidecar top" in first
    assert "live" in second
    assert code == 0
    assert "\x1b[?1049l" in terminal.seen  # the screen that was there before
    assert "\x1b[?25h" in terminal.seen  # and its cursor


def test_no_color_is_obeyed_and_signs_and_words_say_it_all_the_same(
    stand: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal("--admin", f"127.0.0.1:{stand.port}")
    try:
        terminal.until("payments is failing")
        seen = terminal.until("● search")
        raw = terminal.seen
        terminal.press("q")
        code = terminal.end()
    finally:
        terminal.process.kill()
        terminal.process.wait()

    colours = [code for codes in re.findall(r"\x1b\[([0-9;]*)m", raw) for code in codes.split(";")]
    assert {code for code in colours if code[:1] in {"3", "4", "9"} and len(code) >= 2} == set()
    assert "▲ payments" in seen
    assert code == 0


def test_into_a_pipe_it_is_printed_once_and_a_reader_who_leaves_is_no_failure(stand: Shown) -> None:
    command = f"{sys.executable} -m sidecar top --admin 127.0.0.1:{stand.port}"

    whole = subprocess.run(command.split(), capture_output=True, text=True, timeout=20, check=True)
    left = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | true"], capture_output=True, text=True, timeout=20, check=False
    )

    assert "\x1b" not in whole.stdout
    assert whole.stdout.count("payments is failing") == 1
    assert all(len(line) <= 80 for line in whole.stdout.splitlines())
    assert "Traceback" not in left.stderr


def test_a_ctrl_c_that_is_swallowed_where_it_comes_is_heard_all_the_same(
    stand: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = address_of(f"127.0.0.1:{stand.port}")
    content = fetch(address, 60)
    before = signal.getsignal(signal.SIGINT)
    fetched = 0

    def fetch_amid_a_finaliser(_address: Address, _seconds: int) -> bytes:
        nonlocal fetched
        fetched += 1
        assert fetched == 1
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return content

    monkeypatch.setattr("sidecar.cli.top.fetch", fetch_amid_a_finaliser)
    console = Console(file=StringIO(), force_terminal=True, width=100, height=30)

    _watch(console, Screen(console), decode(content, ""), address, 0.01)

    assert fetched == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_it_survives_a_sidecar_that_goes_and_comes_back() -> None:
    with shown(storm(20, after=5)) as one:
        terminal = Terminal("--admin", f"127.0.0.1:{one.port}")
        try:
            terminal.until("live")
            one.stop()
            lost = terminal.until("trying again")
            one.start()
            terminal.until("  live")
            terminal.process.send_signal(signal.SIGINT)
            code = terminal.end()
        finally:
            terminal.process.kill()
            terminal.process.wait()

    assert "disconnected for" in lost
    assert code == 0
    assert "Traceback" not in terminal.seen
