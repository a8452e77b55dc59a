"""The two text formats of Prometheus: how a family begins, how numbers and labels are written, how the text ends.

They differ in how a counter family is called and how the text ends.
"""

import math

from prometheus_client import CollectorRegistry

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def negotiate(accept: str) -> str:
    """The content type to answer an Accept header with: OpenMetrics for those who name it, else the classic text."""
    return OPENMETRICS if "application/openmetrics-text" in accept.lower() else TEXT


def family(name: str, documentation: str, kind: str, content_type: str) -> str:
    """The two lines that begin a family; `name` is that of its samples, with `_total` for a counter."""
    if content_type == OPENMETRICS:
        called = name.removesuffix("_total") if kind == "counter" else name
        return f"# HELP {called} {escape(documentation)}\n# TYPE {called} {kind}\n"
    return f"# HELP {name} {_escape_help(documentation)}\n# TYPE {name} {kind}\n"


def ending(content_type: str) -> bytes:
    """The end of the exposition, after the last family."""
    return b"# EOF\n" if content_type == OPENMETRICS else b""


def encode(registry: CollectorRegistry, content_type: str) -> bytes:
    """All samples of a registry, without the ending."""
    lines: list[str] = []
    for described in registry.collect():
        name = f"{described.name}_total" if described.type == "counter" else described.name
        lines.append(family(name, described.documentation, described.type, content_type))
        for sample in described.samples:
            labels = ",".join([f'{label}="{escape(value)}"' for label, value in sample.labels.items()])
            shown = number(sample.value)
            lines.append(f"{sample.name}{{{labels}}} {shown}\n" if labels else f"{sample.name} {shown}\n")
    return "".join(lines).encode()


def number(value: float) -> str:
    """A value; whole ones without a fraction if they are integers."""
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def escape(text: str) -> str:
    """A label's value; in OpenMetrics a help text too."""
    if "\\" in text or '"' in text or "\n" in text:
        return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    return text


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
