"""The proxy's own code runs without sockets, so that its cost can be told from the kernel's."""

import pytest

from loadtest import path_cost
from loadtest.workload import WORKLOADS


@pytest.mark.parametrize("name", path_cost.ROWS)
def test_the_path_of_a_request_is_walked_to_its_end(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(path_cost, "ROUNDS", 2)
    monkeypatch.setattr(path_cost, "REPETITIONS", 1)

    assert path_cost.microseconds(WORKLOADS[name]) > 0
