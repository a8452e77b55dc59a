"""Scenarios are read strictly, and every one that is shipped is right."""

from pathlib import Path

import pytest

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.simulator.scenario import Scenario, load

SHIPPED = sorted((Path(__file__).parents[2] / "config" / "scenarios").glob("*.yaml"))
GOOD = """\
duration: 20s
services:
  checkout: {pods: 4, rate: 10/s, calls: {payments: 1}}
  payments: {utilisation: 0.8, service_time: 10ms}
trouble:
  - {service: payments, kind: hang, at: 8s, lasts: 2s}
"""


def read(tmp_path: Path, text: str) -> Scenario:
    file = tmp_path / "storm.yaml"
    file.write_text(text)
    return load(file)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_scenario_is_right_and_has_trouble(file: Path) -> None:
    scenario = load(file)

    assert scenario.warm_up < scenario.begins < scenario.ends < scenario.seconds
    assert sum(scenario.loads().values()) > 0


def test_there_are_shipped_scenarios() -> None:
    assert {file.stem for file in SHIPPED} >= {"hang", "chain", "lockstep", "brownout"}


def test_a_utilisation_gives_the_capacity_exactly(tmp_path: Path) -> None:
    payments = read(tmp_path, GOOD).services["payments"]

    assert payments.capacity == pytest.approx(40 / 0.8)
    assert payments.workers == 1


def test_loads_go_down_the_chain_by_the_shares(tmp_path: Path) -> None:
    text = GOOD.replace("service_time: 10ms", "service_time: 10ms, calls: {ledger: 0.25}") + ""
    scenario = read(tmp_path, text.replace("trouble:", "  ledger: {capacity: 20/s}\ntrouble:"))

    assert scenario.loads() == {"checkout": 40.0, "payments": 40.0, "ledger": 10.0}
    assert list(scenario.services) == ["checkout", "payments", "ledger"]


def test_in_small_every_pod_has_its_load_and_every_service_its_utilisation(tmp_path: Path) -> None:
    scenario = read(tmp_path, GOOD.replace("pods: 4", "pods: 400"))

    small = scenario.shrunk(8000)

    assert small.services["checkout"].pods == 40
    assert small.services["checkout"].rate == pytest.approx(10.0)
    assert small.loads()["payments"] / small.services["payments"].capacity == pytest.approx(0.8)


def test_another_utilisation_and_a_longer_blip_move_what_they_should(tmp_path: Path) -> None:
    scenario = read(tmp_path, GOOD).at(utilisation=0.5, blip=5.0)

    assert scenario.services["payments"].capacity == pytest.approx(80.0)
    assert (scenario.begins, scenario.ends) == (8.0, 13.0)
    assert scenario.seconds - scenario.ends == 10.0


def test_a_cache_is_lost_in_an_instant_and_shrinks_with_the_fleet(tmp_path: Path) -> None:
    text = GOOD.replace("10ms", "10ms, cache: {keys: 80, miss: 4}").replace("pods: 4", "pods: 40")
    scenario = read(tmp_path, f"{text}  - {{service: payments, kind: forget, at: 10s}}\n")

    longer, small = scenario.at(blip=5.0), scenario.shrunk(800)

    assert [(one.kind, one.begins, one.ends) for one in scenario.troubles] == [("hang", 8, 10), ("forget", 10, 10)]
    assert [(one.kind, one.begins, one.ends) for one in longer.troubles] == [("hang", 8, 13), ("forget", 13, 13)]
    assert (small.services["payments"].keys, small.services["payments"].miss) == (8, 4.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("rate: 10/s", "rate: 10"), "storm.yaml:3: services.checkout.rate: must be a rate over 0 with its unit"),
        (("rate: 10/s", "rate: 0/s"), "must be a rate over 0"),
        (("pods: 4", "pods: 0"), "services.checkout.pods: must be between 1 and 100000"),
        (("{payments: 1}", "{payment: 1}"), "services.checkout.calls.payment: is no service of this file"),
        (("{payments: 1}", "{payments: 2}"), "services.checkout.calls.payments: must be between 0 and 1"),
        (("utilisation: 0.8", "utilisation: 0.8, capacity: 9/s"), "utilisation: does not go with capacity"),
        (("service_time: 10ms", "service_time: 10ms, calls: {checkout: 1}"), "services: must not call in a circle"),
        (("kind: hang", "kind: flood"), "storm.yaml:6: trouble[0].kind"),
        (("service: payments, kind", "service: paymants, kind"), "trouble[0].service: is no service of this file"),
        (("service: payments, kind: hang", "service: checkout, kind: hang"), "needs a capacity or a utilisation"),
        (("service: payments, kind: hang", "service: payments, kind: restart"), "needs a service with calls"),
        (
            ("service: payments, kind: hang", "service: payments, kind: forget"),
            "storm.yaml:6: trouble[0].kind: needs a cache",
        ),
        (
            ("10ms", "10ms, cache: {keys: 0, miss: 4}"),
            "storm.yaml:4: services.payments.cache.keys: must be between 1 and",
        ),
        (("10ms", "10ms, cache: {keys: 9, miss: 0.5}"), "services.payments.cache.miss: must be between 1 and 1000"),
        (("10ms", "10ms, cache: {keys: 9}"), "services.payments.cache"),
        (("10ms", "10ms, cache: {keys: 9, miss: 4, ttl: 1s}"), "services.payments.cache.ttl: is not known"),
        (
            ("calls: {payments", "cache: {keys: 9, miss: 4}, calls: {payments"),
            "services.checkout.cache: needs a capacity",
        ),
        (("10ms", "10ms, endpoints: 0"), "storm.yaml:4: services.payments.endpoints: must be between 1 and 1000"),
        (("rate: 10/s", "rate: 10/s, callers: 5"), "services.checkout.callers: do not go with a rate"),
        (("service_time: 10ms", "callers: 5"), "services.payments.callers: is of no use to a service that calls none"),
        (("rate: 10/s", "rate: unlimited"), "services.checkout.rate: must be a rate over 0 with its unit"),
        (("utilisation: 0.8", "capacity: endless"), "must be a rate over 0 with its unit, like 50/s, or unlimited"),
        (("duration: 20s", "duration: 20s\nexpect: calm"), "expect: must be harmless"),
        (("kind: hang", "kind: slow"), "trouble[0].kind: needs service_time"),
        (("kind: hang", "kind: burst"), "trouble[0].kind: needs requests"),
        (("kind: hang", "kind: hang, requests: 5"), "trouble[0].requests: is of burst only"),
        (("kind: hang", "kind: hang, becomes: 5s"), "trouble[0].becomes: is of slow only"),
        (("kind: hang", "kind: slow, service_time: 0s"), "trouble[0].service_time: must be over 0s"),
        (("kind: hang", "kind: burst, requests: 5"), "trouble[0].kind: needs a service with calls"),
        (("lasts: 2s", "lasts: 2s, endpoint: 1"), "storm.yaml:6: trouble[0].endpoint: must be under 1"),
        (("at: 8s", "at: 4s"), "warm_up: must be over before the first trouble begins"),
        (("lasts: 2s", "lasts: 12s"), "duration: must go on after the last trouble, which ends at 20s"),
        (("lasts: 2s", "lasts: 2s, times: 3"), "trouble[0].times: needs an every"),
        (("duration: 20s", "duration: 20s\nfrob: 1"), "storm.yaml:2: frob: is not known"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(change: tuple[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument) as wrong:
        read(tmp_path, GOOD.replace(*change))

    assert said in str(wrong.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument, match="can not be read"):
        load(tmp_path / "absent.yaml")


def test_what_only_changes_may_begin_at_once_and_last_to_the_end_and_is_no_trouble(tmp_path: Path) -> None:
    slow = GOOD.replace(
        "kind: hang, at: 8s, lasts: 2s", "kind: slow, service_time: 2s, becomes: 3s, at: 0s, lasts: 60s"
    )

    scenario = read(tmp_path, slow.replace("utilisation: 0.8", "capacity: unlimited"))

    (change,) = scenario.troubles
    assert (change.service_time, change.becomes, change.share) == (2.0, 3.0, 1.0)
    assert scenario.begins == scenario.ends == scenario.seconds
    assert scenario.services["payments"].unlimited
    assert scenario.services["payments"].service_time == pytest.approx(0.01)
    assert not scenario.expects_no_harm


def test_an_unlimited_service_stays_so_in_small_and_at_any_utilisation(tmp_path: Path) -> None:
    scenario = read(tmp_path, GOOD.replace("utilisation: 0.8", "capacity: unlimited"))

    assert scenario.shrunk(10).services["payments"].unlimited
    assert scenario.at(utilisation=0.5).services["payments"].unlimited
    assert not read(tmp_path, GOOD).services["payments"].unlimited


def test_callers_do_not_go_with_a_restart_of_their_service(tmp_path: Path) -> None:
    looping = GOOD.replace("rate: 10/s", "callers: 5").replace(
        "service: payments, kind: hang", "service: checkout, kind: restart"
    )

    with pytest.raises(InvalidDocument, match=r"trouble\[0\]\.kind: does not go with callers"):
        read(tmp_path, looping)
