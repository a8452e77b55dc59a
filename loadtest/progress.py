"""What is being measured now, on standard error."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from loadtest.figures import Round


class Watch:
    """A bar on a terminal, and a line for each thing done anywhere.

    Refreshed between measurements only: a thread that draws takes the interpreter from the generator.
    """

    def __init__(self, subjects: int, rounds: int) -> None:
        self._rounds = rounds
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=subjects * rounds)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self, subject: str, number: int, done: Round | None) -> None:
        """A subject begins its round, counted from 0, or has done it."""
        if done is None:
            self._progress.update(self._task, description=f"round {number + 1}/{self._rounds}: {subject}")
        else:
            self._progress.console.print(
                f"round {number + 1}/{self._rounds} {subject}: {_summary(done)}", highlight=False, soft_wrap=True
            )
            self._progress.advance(self._task)
        self._progress.refresh()


def _summary(done: Round) -> str:
    cpu = [
        f"{name.partition('.')[0]} {value:,.1f} µs" for name, value in done.figures.items() if name.endswith(".cpu_us")
    ]
    wrong = sum(errors.total() for errors in done.errors.values())
    return ", ".join(cpu) + (f"; {wrong} WRONG ANSWERS" if wrong else "")
