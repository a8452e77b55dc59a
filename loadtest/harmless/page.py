"""The tables of docs/harmless.md, from the runs: what a person does not have to write down."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from loadtest.harmless.stage import Run
from loadtest.harmless.subjects import DIRECT
from loadtest.harmless.table import COLUMNS, cells, grouped, in_brief, milliseconds, sentence
from loadtest.harmless.verdict import Harm, by_pair

FILE = "harmless.md"
BEGIN = "<!-- from here on: python -m loadtest harmless --from docs/harmless.json --docs docs -->"
END = "<!-- until here -->"


def rewritten(page: str, runs: Sequence[Run], found: Sequence[Harm], titles: Mapping[str, str]) -> str:
    """The page with the tables of these runs between its two marks. Raises ValueError if it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{FILE} must have the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables(runs, found, titles)}\n{END}{after}"


def tables(runs: Sequence[Run], found: Sequence[Harm], titles: Mapping[str, str]) -> str:
    """An overview, and every figure, as Markdown."""
    pairs = by_pair(found)
    played = [name for name in titles if any(run.subject == name for run in runs)]
    compared = [name for name in played if name != DIRECT]
    parts = [
        *(f"- **{titles[name]}**: {sentence(runs, name, pairs)}" for name in compared),
        "",
        *_overview(runs, pairs, compared, titles),
        "",
        "### Every figure",
    ]
    groups: dict[str, list[list[Run]]] = {}
    for group in grouped(runs).values():
        groups.setdefault(group[0].situation.group, []).append(group)
    for name, members in groups.items():
        parts += ["", f"<details><summary>{name}</summary>", "", *_details(members, titles), "", "</details>"]
    return "\n".join(parts) + "\n"


def _overview(
    runs: Sequence[Run],
    pairs: Mapping[tuple[str, str], list[Harm]],
    compared: Sequence[str],
    titles: Mapping[str, str],
) -> Iterator[str]:
    yield f"| situation | direct p50, p99 ms | {' | '.join(titles[name] for name in compared)} |"
    yield f"| --- | --- |{' --- |' * len(compared)}"
    for name, group in grouped(runs).items():
        ran = {run.subject: run for run in group}
        if DIRECT not in ran:
            continue
        direct = "; ".join(f"{milliseconds(one.p50)}, {milliseconds(one.p99)}" for one in ran[DIRECT].figures)
        said = []
        for subject in compared:
            own = pairs.get((name, subject), [])
            said.append("; ".join(in_brief(own)) or ("✓" if subject in ran else "-"))
        yield f"| **{name}**: {group[0].situation.title} | {direct} | {' | '.join(said)} |"


def _details(groups: Sequence[Sequence[Run]], titles: Mapping[str, str]) -> Iterator[str]:
    yield f"| situation | kind | | {' | '.join(COLUMNS)} |"
    yield f"| --- | --- | --- |{' ---: |' * len(COLUMNS)}"
    for group in groups:
        for number, call in enumerate(group[0].situation.calls):
            for run in group:
                row = cells(run, run.figures[number], is_first=number == 0)
                is_first = run is group[0]
                situation = run.situation.name if is_first and not number else ""
                yield f"| {situation} | {call.name if is_first else ''} | {titles[run.subject]} | {' | '.join(row)} |"


def write(folder: Path, runs: Sequence[Run], found: Sequence[Harm], titles: Mapping[str, str]) -> None:
    """Rewrite the page in this folder. Raises ValueError if it has no marks, OSError if there is none."""
    path = folder / FILE
    path.write_text(rewritten(path.read_text(encoding="utf-8"), runs, found, titles), encoding="utf-8")
