"""Makes the README of the chart from values.yaml: the comment above a key is its description.

    python helm/readme.py > helm/retry-sidecar/README.md

`make docs` does so, and a test holds it.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent / "retry-sidecar"
HEAD = """# Chart retry-sidecar

{description}.
[docs/install.md](../../docs/install.md) leads through an installation, an upgrade and its removal.

```sh
helm install retry-sidecar helm/retry-sidecar --namespace sidecar-system --create-namespace --wait \\
  --set image.repository=registry.example.com/retry-sidecar --set namespaces.shop.policy=true
```

Kubernetes {kubernetes}. The alerts and the dashboard are those of [`deploy/`](../../deploy), which the chart reads by
links: `helm package` puts them in. Values that are wrong are refused with their place and the rule.

Made by `helm/readme.py` from `values.yaml`; `make docs` writes it.

## Values
"""
TABLE = "| value | default | what it is |\n| --- | --- | --- |\n"


def entries(lines: list[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each key with a comment above it: its path, and the comment."""
    path: list[str] = []
    comment: list[str] = []
    for line in lines:
        if found := re.fullmatch(r"(\s*)([\w-]+):(.*)", line):
            path = [*path[: len(found[1]) // 2], found[2]]
            if comment:
                yield tuple(path), " ".join(comment)
            comment = []
        elif found := re.fullmatch(r"\s*# (.*)", line):
            comment.append(found[1])
        else:
            comment = []


def default_of(value: object) -> str:
    """A default as it would be written: short, on one line."""
    if isinstance(value, str) and "\n" in value:
        return "`" + "; ".join(value.split("\n")).strip("; ") + "`"
    return f"`{json.dumps(value)}`" if not isinstance(value, str) or not value else f"`{value}`"


def readme() -> str:
    """The page: a table for the values that stand alone, and one for each section."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    described = list(entries(text.splitlines()))
    sections = {path[:-1] for path, _ in described if path[:-1]}
    rows: dict[tuple[str, ...], list[str]] = {
        section: [] for section in [(), *(path for path, _ in described if path in sections)]
    }
    titles = {(): "\n"}
    for path, comment in described:
        if path in sections:
            titles[path] = f"\n### {'.'.join(path)}\n\n{comment}\n\n"
        else:
            value: Any = yaml.safe_load(text)
            for key in path:
                value = value[key]
            rows[path[:-1]].append(f"| `{'.'.join(path)}` | {default_of(value)} | {comment} |\n")
    tables = (titles[section] + (TABLE + "".join(lines) if lines else "") for section, lines in rows.items())
    head = HEAD.format(description=chart["description"], kubernetes=chart["kubeVersion"].removesuffix(".0-0"))
    return head + "".join(tables).replace("\n\n\n", "\n\n")


if __name__ == "__main__":
    print(readme(), end="")
