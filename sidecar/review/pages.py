"""The pages in docs/gate, one for each kind of finding: `python -m sidecar.review.pages docs/gate`."""

import sys
from pathlib import Path
from typing import Final

from sidecar.review.catalogue import KINDS, GateFindingKind

HEAD: Final = "openapi: 3.1.0\ninfo: {title: Payments, version: 1.0.0}\npaths:\n"
"""The lines above each example."""


def page_of(kind: GateFindingKind) -> str:
    """One page, as Markdown."""
    level = "refuses a change (exit code 1)" if kind.level == "error" else "only says so"
    if kind.id == "unresolved":
        level = "is no judgement at all (exit code 2)"
    text = (
        f"# {kind.id}\n\n{kind.summary} The gate {level}.\n\n## Why\n\n{kind.why}\n\n## What mends it\n\n{kind.mend}\n"
    )
    if kind.before:
        text += f"\n## Example\n\nRefused:\n\n```yaml\npaths:\n{kind.before}```\n"
        text += f"\nMended:\n\n```yaml\npaths:\n{kind.after}```\n"
    return text


def index() -> str:
    """The table of all of them."""
    rows = [f"| [{kind.id}]({kind.id}.md) | {kind.level} | {kind.summary} |" for kind in KINDS]
    return "\n".join(["| finding | level | in a word |", "| --- | --- | --- |", *rows]) + "\n"


def _main() -> None:
    folder = Path(sys.argv[1])
    for kind in KINDS:
        (folder / f"{kind.id}.md").write_text(page_of(kind), encoding="utf-8")
    readme = folder / "README.md"
    begin, end = "<!-- findings: made from the code -->\n", "<!-- end of findings -->\n"
    before, _, rest = readme.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    readme.write_text(before + begin + "\n" + index() + "\n" + end + after, encoding="utf-8")


if __name__ == "__main__":
    _main()
