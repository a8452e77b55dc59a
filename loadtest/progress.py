"""What is being measured now, on standard error."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Watch:
    """A bar on a terminal, and a line for each figure anywhere.

    Refreshed between measurements only: a thread that draws takes the interpreter from the generator.
    """

    def __init__(self, steps: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            TextColumn("{task.fields[remark]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=steps, completed=-1, remark="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, what: str) -> None:
        self._progress.update(self._task, description=what, advance=1, remark="")
        self._progress.refresh()

    def remark(self, words: str) -> None:
        """Beside what is being measured, on a terminal only. It costs a millisecond."""
        self._progress.update(self._task, remark=words)
        if self._progress.console.is_terminal:
            self._progress.refresh()

    def say(self, line: str) -> None:
        self._progress.console.print(line, highlight=False, soft_wrap=True)
