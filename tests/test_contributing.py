"""The lists of "How to add" name files that are there and that have what they are named for."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
WITHOUT_EXAMPLE = {
    # named for where the next one goes, not for the example
    "sidecar/engine/tally.py",
    "deploy/prometheus/rules.yaml",
    "sidecar/proxy/upstream.py",
    "tests/wire/fuzz.py",
    "CHANGELOG.md",
    "tests/governance/documents/test_setting_spec.py",
}


def files_of(recipe: str) -> list[str]:
    """The files it names from the root of the repository."""
    return re.findall(
        r"`((?:sidecar|tests|docs|deploy|config|helm)/[\w./-]+\.\w+|README\.md|CHANGELOG\.md)`", RECIPES[recipe]
    )


def example_of(recipe: str) -> str:
    found = re.search(r"Example: `([^`]+)`", RECIPES[recipe])
    assert found is not None
    return found[1].rpartition(".")[2]


def test_each_kind_of_addition_has_a_list() -> None:
    assert set(RECIPES) == {"A setting", "A metric", "A refusal", "A CLI command", "A codec", "A value of the chart"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_file_of_a_list_is_there(recipe: str) -> None:
    assert [file for file in files_of(recipe) if not (ROOT / file).is_file()] == []


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_file_of_a_list_has_its_example(recipe: str) -> None:
    example = example_of(recipe)
    files = [file for file in files_of(recipe) if file not in WITHOUT_EXAMPLE]

    lacking = [file for file in files if not re.search(rf"{example}\b", text_of(file), re.IGNORECASE)]

    assert len(files) >= 2
    assert lacking == []


@pytest.mark.parametrize("recipe", ["A setting", "A refusal"])
def test_no_module_that_knows_the_example_of_a_list_is_missing_from_it(recipe: str) -> None:
    example = example_of(recipe)

    knowing = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "sidecar").rglob("*.py")
        if re.search(rf"\b{example}\b", path.read_text(encoding="utf-8"), re.IGNORECASE)
    }

    assert knowing <= set(files_of(recipe)) | {"sidecar/cli/forecast.py"}


def text_of(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")
