"""The runner against small programs that do their part, and some that do not."""

import sys
from pathlib import Path

import pytest

from sidecar.vectors.case import VectorCase, load_cases
from sidecar.vectors.command import BadClient, run_command

CASES: dict[str, VectorCase] = {case.name: case for case in load_cases()}

NAIVE = """
import json, sys, urllib.request
for call in json.loads(sys.stdin.readline())["calls"]:
    for _ in range(3):
        try:
            with urllib.request.urlopen(urllib.request.Request(call["url"], method=call["method"])) as response:
                status = response.status
        except urllib.error.HTTPError as error:
            status = error.code
        if status < 400:
            break
    print(json.dumps({"outcome": "answer", "status": status}), flush=True)
"""


def program(folder: Path, text: str) -> list[str]:
    file = folder / "client.py"
    file.write_text(text, encoding="utf-8")
    return [sys.executable, str(file)]


async def test_a_client_that_does_as_expected_has_no_shortcomings(tmp_path: Path) -> None:
    assert await run_command(CASES["a_503_then_good"], program(tmp_path, NAIVE)) == []


async def test_a_client_that_repeats_a_write_is_found_out(tmp_path: Path) -> None:
    found = await run_command(CASES["an_unsafe_write"], program(tmp_path, NAIVE))

    assert found[0] == "2 attempts, expected 1 to 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("print('hello')", "a line that is not JSON: hello"),
        ("print('{}')", "a line without an outcome"),
        ("raise SystemExit(3)", "exit code 3"),
        ("pass", "0 lines for 1 calls"),
    ],
)
async def test_a_client_that_does_not_do_its_part_is_told_so(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadClient, match=message):
        await run_command(CASES["a_good_answer"], program(tmp_path, text))
