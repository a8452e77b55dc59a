"""A start is measured phase by phase, each by a process of its own."""

import sys
from pathlib import Path

from loadtest import start_cost
from loadtest.child import Child


def test_a_start_is_followed_to_its_first_answer_and_to_rest(tmp_path: Path) -> None:
    log = tmp_path / "upstream.log"
    with Child("upstream", [sys.executable, "-m", "loadtest.upstream"], core=None, log=log) as upstream:
        figures = start_cost.measure(sys.executable, tmp_path, int(upstream.first_line(60.0)))

    assert all(figure > 0 for name, figure in figures.items() if name != "import sidecar.client, s"), figures
    assert figures["first answer, s"] > figures["interpreter, s"]
