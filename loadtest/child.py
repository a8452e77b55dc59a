"""A process that this run starts and ends."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from time import perf_counter, sleep
from types import TracebackType
from typing import Self

from loadtest.cores import pinned
from loadtest.generator import HOST
from loadtest.meter import tree

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 5.0  # seconds a process may take to end when it is asked to
POLL = 0.002  # seconds between looks; also the error of a start-up time

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # elsewhere kill -9 leaves children behind
_PR_SET_PDEATHSIG = 1  # prctl(2)
_ENDING = {signal.SIGINT, signal.SIGTERM}


class NotStartedError(Exception):
    """A process ended, or did not answer, before it could be measured. The message is one line."""


class Child:
    """Runs in a `with`; at its end the process and its descendants are gone, asked first and then killed, by pid.

    To be made in the main thread: when the thread that made it ends, of whatever, the process is asked to end too.
    Without a `core` it runs wherever there is room.
    """

    def __init__(self, name: str, argv: list[str], *, core: int | None, log: Path) -> None:
        self.name = name
        self._log = log
        self.began = perf_counter()
        with nullcontext() if core is None else pinned(core), log.open("wb") as output, _unbroken():
            try:
                # A session of its own, so that Ctrl-C reaches this program first and children end in order.
                self._process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=ROOT,
                    env={**os.environ, "XDG_RUNTIME_DIR": str(log.parent)},  # what it leaves there goes with its log
                    start_new_session=True,
                    # One system call: no lock of another thread is asked for.
                    preexec_fn=partial(_ends_with, os.getpid()) if _LIBC is not None else None,  # noqa: PLW1509
                )
            except OSError as error:
                raise NotStartedError(f"{name}: cannot run {argv[0]}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    def first_answer(self, port: int, request: bytes, within: float) -> float:
        """Ask until the answer is a 200: seconds from the start of the process until then. Raises NotStartedError."""
        last = "no connection"
        while perf_counter() - self.began < within:
            if self._process.poll() is not None:
                raise NotStartedError(f"{self.name}: ended with {self._process.returncode}: {self.last_words()}")
            try:
                with socket.create_connection((HOST, port), timeout=1.0) as connection:
                    connection.sendall(request)
                    answer = connection.recv(65536)
            except OSError:
                sleep(POLL)
                continue
            if answer[9:12] == b"200":
                return perf_counter() - self.began
            last = answer.partition(b"\r\n")[0].decode("latin-1") or "a closed connection"
            sleep(POLL)
        raise NotStartedError(
            f"{self.name}: no answer on port {port} within {within:.0f} s, only {last}: {self.last_words()}"
        )

    def first_line(self, within: float) -> str:
        """The first line it prints; raises NotStartedError."""
        while perf_counter() - self.began < within and self._process.poll() is None:
            line, newline, _ = self._log.read_text().partition("\n")
            if newline:
                return line
            sleep(POLL)
        raise NotStartedError(f"{self.name}: printed nothing within {within:.0f} s: {self.last_words()}")

    def last_words(self) -> str:
        """The last line of its output, for an error message."""
        lines = self._log.read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")

    def stop(self) -> None:
        pids = tree(self.pid)
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid in pids:
            if pid != self.pid and pid in tree(pid):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def _unbroken() -> Iterator[None]:
    """Let the signals that end a measurement wait: an exception that is raised while Python forks is swallowed there.

    It forks itself for `_ends_with` alone, which also lets them through again in the child.
    """
    if _LIBC is None:
        yield
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def _ends_with(parent: int) -> None:
    """In the child, before its program: a parent that is killed can not end it."""
    assert _LIBC is not None
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's, until then: it would take note, and forget at exec
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # gone before it could be asked for
        os._exit(1)


def free_port() -> int:
    """A port nobody listens on now, as the system picks it."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])
