"""Runs side by side come to what each comes to alone."""

from pathlib import Path

from sidecar.engine.policy import DestinationPolicy
from sidecar.simulator.campaign import Contender, chart, compare
from sidecar.simulator.fleet import Fleet
from sidecar.simulator.outcome import outcome
from sidecar.simulator.scenario import load

SCENARIO = load(Path(__file__).parents[2] / "config" / "scenarios" / "hang.yaml").shrunk(6000)
POLICY = DestinationPolicy(timeout=3.0, per_attempt_timeout=1.0)
GOVERNED = Contender("governed", {("checkout", "payments"): POLICY})
BARE = Contender("bare", {("checkout", "payments"): POLICY}, governed=False)


def test_two_policies_are_compared_in_their_order_with_words_about_how_far_it_is() -> None:
    heard: list[float] = []

    governed, bare = compare(SCENARIO, [GOVERNED, BARE], heard.append)

    assert governed == outcome(Fleet(SCENARIO, lambda _, __: POLICY).run())
    assert not governed.metastable
    assert bare.metastable
    assert heard == sorted(heard)
    assert heard[-1] > 0


def test_a_map_has_every_place_and_is_worse_towards_its_corner() -> None:
    heard: list[float] = []

    cells = chart(SCENARIO, BARE, [0.3, 0.9], [0.5, 4.0], heard.append)

    found = {(cell.utilisation, cell.blip): cell.recovery for cell in cells}
    assert list(found) == [(0.3, 0.5), (0.3, 4.0), (0.9, 0.5), (0.9, 4.0)]
    assert found[0.3, 0.5] is not None
    assert found[0.9, 4.0] is None
    assert heard[-1] == 1.0
