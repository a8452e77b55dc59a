"""The figures of the gate are those of its counts."""

from typing import Any

import pytest

from sidecar.admin.key_summary import key_summary, route_summary
from sidecar.idempotency.gate import KeyedRequest, KeyRun
from sidecar.telemetry.metrics import KEY_OUTCOMES
from tests.fakes.key_gates import key_gate
from tests.telemetry.sources import SetMetricsSource, key_store


def counts(**happened: int) -> dict[str, int]:
    return {**dict.fromkeys(KEY_OUTCOMES, 0), **happened}


def test_a_request_is_counted_once_though_its_run_has_an_end_of_its_own() -> None:
    said = route_summary("pay", counts(new=8, completed=5, unknown=1, released=1, replayed=2, in_flight=3), None)

    assert (said["requests"], said["new"], said["replayed"], said["running"]) == (13, 8, 2, 1)
    assert said["ended"] == {"completed": 5, "released": 1, "unknown": 1}
    assert said["refused"] == {"in_flight": 3}
    assert said["probes"] is None


def test_every_outcome_is_in_one_place() -> None:
    said: Any = route_summary("pay", counts(**dict.fromkeys(KEY_OUTCOMES, 1)), {"applied": 2, "failed": 0})

    named = [*said["ended"], *said["refused"], *said["passed"], "new", "replayed"]
    assert sorted(named) == sorted(KEY_OUTCOMES)
    assert said["probes"] == {"applied": 2}
    assert said["running"] == 0  # more ends than runs: never less than none


def test_reasons_are_listed_from_the_most_frequent_on() -> None:
    said: Any = route_summary("pay", counts(key_missing=2, key_reused=7, in_flight=2), None)

    assert list(said["refused"]) == ["key_reused", "in_flight", "key_missing"]


def test_the_store_is_told_with_its_quantiles() -> None:
    source = SetMetricsSource(key_store=key_store(4, failing=True, took=(0.002,) * 99 + (0.2,)))

    said: Any = key_summary(source)

    assert said["unknown"] == 3
    assert (said["store"]["failing"], said["store"]["failures"], said["store"]["transitions"]) == (True, 4, 100)
    assert 0.001 < said["store"]["p50"] <= 0.0025
    assert said["store"]["p99"] <= 0.2


def test_a_store_that_was_never_asked_has_no_quantiles() -> None:
    said: Any = key_summary(SetMetricsSource(key_store=key_store(0, took=())))

    assert (said["store"]["p50"], said["store"]["p99"]) == (None, None)


@pytest.mark.parametrize(
    "source",
    [SetMetricsSource(key_store=None, key_outcomes={}), SetMetricsSource(key_outcomes={})],
    ids=["without a gate", "routes that are declared only"],
)
def test_without_a_contract_there_is_nothing_to_say(source: SetMetricsSource) -> None:
    assert key_summary(source) is None


async def test_the_running_ones_were_granted_and_have_not_ended() -> None:
    gate = key_gate()
    route = gate.routes[0]
    asked = [KeyedRequest(b"POST", b"/pay", b"Idempotency-Key: %b\r\n" % key, b"") for key in (b"a", b"b")]
    first, second = [await gate.admit(route, one) for one in asked]
    assert isinstance(first, KeyRun)
    assert isinstance(second, KeyRun)
    await first.release("test")

    said = route_summary("pay", {outcome.value: n for outcome, n in gate.counts["pay"].items()}, None)

    assert said["running"] == 1
    await second.release("test")
    await gate.close()
