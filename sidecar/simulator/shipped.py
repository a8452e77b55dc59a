"""The scenarios that come with the program, by name: in the wheel beside this file, in a checkout under config/."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

_IN_WHEEL: Final = Path(__file__).parent / "scenarios"
_IN_CHECKOUT: Final = Path(__file__).parents[2] / "config" / "scenarios"


def shipped_scenarios() -> Mapping[str, Path]:
    """The file of each, by its name: `hang`, or `harmless/burst` for one in a folder."""
    folder = _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in sorted(folder.rglob("*.yaml"))}
