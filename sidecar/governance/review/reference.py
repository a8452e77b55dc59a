"""The reference of every setting: docs/settings.md, written from the types, the engine's own bounds and the guardrails.

`python -m sidecar.governance.review.reference > docs/settings.md` writes it.
"""

import sys
from collections.abc import Iterator

from msgspec import inspect

from sidecar.governance.documents.bound import written
from sidecar.governance.documents.setting_spec import Looser
from sidecar.governance.documents.settings import SECTIONS, SETTINGS
from sidecar.governance.documents.units import Duration, Size
from sidecar.governance.policy.engine_policy import engine_rule
from sidecar.governance.policy.guardrails import item_type
from sidecar.governance.policy.resolve import BASELINE

_LOOSER = {Looser.MORE: "more", Looser.LESS: "less", Looser.NEITHER: ""}
_FAR = 1e12

HEADING = "| setting | default | bounds | guardrail | looser | meaning |"
RULE = "| --- | --- | --- | --- | --- | --- |"


def reference() -> str:
    """docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "<!-- Written by `python -m sidecar.governance.review.reference > docs/settings.md`; do not edit. -->",
        "",
        "What governs one destination: in `defaults` and `destinations` of the policy, and in the `overrides` of a",
        "service. *Bounds* are the engine's: no document lifts them. *Guardrail* is the built-in one, in force where",
        "the policy has none of its own for the setting; `ceiling` is how far an exception may go past it. *Looser*",
        "says which way a change is a loosening, for `sidecar policy diff`. The path in the first column is the name",
        "of the setting in guardrails, exceptions, findings and `sidecar policy explain`.",
        "",
        "`timeout`, `per_attempt_timeout`, `idle_timeout`, and all of `retry` and `idempotency_key`",
        "may also differ by method and path, in `routes` of a destination: see [policy.md](policy.md#routes).",
    ]
    section = None
    for setting in SETTINGS:
        head = setting.rpartition(".")[0].partition(".")[0]
        if head != section:
            section = head
            title = f"## {head}" if head else "## Time"
            lines += ["", title, ""]
            if head:
                lines += [SECTIONS[head].meaning, ""]
            lines += [HEADING, RULE]
        lines.append(_row(setting))
    return "\n".join(lines) + "\n"


def bounds_of(setting: str) -> str:
    """The engine's bounds of a setting, whatever the others are; a dash where it has none."""
    rules = dict.fromkeys(
        broken.rule for value in _extremes(setting) if (broken := engine_rule(setting, value)) is not None
    )
    return "; ".join(rule.removeprefix("must ").removeprefix("be ") for rule in rules) or _words(SETTINGS[setting].type)


def _row(setting: str) -> str:
    spec = SETTINGS[setting]
    cells = (
        f"`{setting}`",
        f"`{BASELINE.provenance[setting].value}`",
        bounds_of(setting),
        "" if spec.guardrail is None else f"`{spec.guardrail.text}`",
        _LOOSER[spec.looser],
        spec.meaning,
    )
    return f"| {' | '.join(cells)} |"


def _extremes(setting: str) -> Iterator[object]:
    """Values so far out that they meet every bound there is."""
    match BASELINE.values[setting]:
        case bool():
            return
        case Duration():
            yield from (Duration(-_FAR), Duration(_FAR))
        case Size():
            yield from (Size(-_FAR), Size(_FAR))
        case int():
            yield from (-int(_FAR), int(_FAR))
        case float():
            yield from (-_FAR, _FAR)
        case frozenset():
            match item_type(SETTINGS[setting].type):
                case inspect.IntType():
                    yield from (frozenset({0}), frozenset({999}))
                case inspect.StrType():
                    yield frozenset({"POST"})


def _words(info: inspect.Type) -> str:
    match info:
        case inspect.EnumType(cls=enum):
            return " or ".join(f"`{written(member.value)}`" for member in enum)
        case inspect.LiteralType(values=values):
            return " or ".join(f"`{value}`" for value in values)
        case inspect.ListType(item_type=item):
            return f"some of {_words(item).replace(' or ', ', ')}"
        case inspect.BoolType():
            return "`true` or `false`"
    return "-"


if __name__ == "__main__":
    sys.stdout.write(reference())
