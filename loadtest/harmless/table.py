"""The runs as a person reads them."""

from collections.abc import Iterable, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadtest.harmless.figures import Figures
from loadtest.harmless.stage import Run
from loadtest.harmless.subjects import DIRECT
from loadtest.harmless.verdict import BARS, Harm, by_pair

COLUMNS = ("success %", "answers/s", "p50 ms", "p99 ms", "attempts")
DISTURBED = 0.1
"""Seconds by which a request left too late, so that its run is not to be trusted."""


def report(
    runs: Sequence[Run], failures: Iterable[str], found: Sequence[Harm], titles: Mapping[str, str]
) -> RenderableType:
    pairs = by_pair(found)
    subjects = [name for name in titles if name != DIRECT and any(run.subject == name for run in runs)]
    return Group(
        *(_table(group, pairs, titles) for group in grouped(runs).values()),
        *(Text(failure, style="bold red") for failure in failures),
        Text(f"no harm: {BARS}"),
        *(Text(f"{titles[name]}: {sentence(runs, name, pairs)}", style="bold") for name in subjects),
    )


def cells(run: Run, figures: Figures, *, is_first: bool) -> list[str]:
    """One row's figures, in the order of COLUMNS. Attempts are of the whole run, and stand in its first row."""
    return [
        f"{figures.success * 100:.1f}",
        f"{figures.throughput:.1f}",
        milliseconds(figures.p50),
        milliseconds(figures.p99),
        f"{run.amplification:.3f}" if is_first else "",
    ]


def missed(harm: Harm) -> str:
    """A bar that was missed, in a word and two figures."""
    kind = f" of {harm.kind}" if harm.kind and harm.kind != "all" else ""
    match harm.bar:
        case "success":
            return f"{(harm.value or 0) * 100:.1f} % success{kind}"
        case "throughput":
            return f"{harm.value or 0:.1f}/s{kind} instead of {harm.direct:.1f}"
        case "attempts":
            return f"{harm.value or 0:.3f} attempts"
        case _ if harm.value is None:
            return f"no {harm.bar}{kind}"
        case _:
            return f"{harm.bar}{kind} {milliseconds(harm.value)} ms instead of {milliseconds(harm.direct)}"


def in_brief(found: Sequence[Harm]) -> list[str]:
    """The bars that were missed, without the throughput that went with the success."""
    failing = {harm.kind for harm in found if harm.bar == "success"}
    return [missed(harm) for harm in found if harm.bar != "throughput" or harm.kind not in failing]


def sentence(runs: Sequence[Run], subject: str, pairs: Mapping[tuple[str, str], list[Harm]]) -> str:
    """In how many situations nobody noticed it."""
    played = [run.situation.name for run in runs if run.subject == subject]
    calm = sum((name, subject) not in pairs for name in played)
    return f"not noticed in {calm} of {len(played)} situations"


def grouped(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """By situation."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.situation.name, []).append(run)
    return found


def milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:,.0f}"


def _table(runs: Sequence[Run], pairs: Mapping[tuple[str, str], list[Harm]], titles: Mapping[str, str]) -> Table:
    situation = runs[0].situation
    table = Table(
        title=f"{situation.name}: {situation.title}", title_justify="left", title_style="bold", box=SIMPLE_HEAD
    )
    table.add_column("", no_wrap=True)
    table.add_column("")
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for run in runs:
        found = pairs.get((situation.name, run.subject), [])
        for number, figures in enumerate(run.figures):
            own = [harm for harm in found if harm.kind == figures.kind or (not harm.kind and not number)]
            said = ", ".join(in_brief(own))
            if run.late > DISTURBED and not number:
                said += f" (disturbed: {run.late:.2f} s late)"
            title = titles[run.subject] if not number else ""
            row = (title, figures.kind, *cells(run, figures, is_first=not number), said)
            table.add_row(*row, style="red" if own else "")
    return table
