"""A scrape says everything of each destination at one instant, and leaves the loop between two of them."""

import asyncio
import re
import tracemalloc
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.engine.outcome import Result
from sidecar.engine.retry import RetryState
from sidecar.telemetry.exporter import MetricsExporter
from sidecar.telemetry.exposition import OPENMETRICS, TEXT
from sidecar.telemetry.metrics import MAX_SERIES, METRICS
from tests.fakes.waiting import turn
from tests.telemetry.sources import SetMetricsSource, destination

DOCS = Path(__file__).parents[2] / "docs"
MEGABYTE = 1 << 20


def many(count: int) -> SetMetricsSource:
    names = [f"service-{number}" for number in range(count)]
    return SetMetricsSource(
        destinations={name: destination(name) for name in names}, shadows={}, routes={}, observations={}
    )


def exporter_of(source: SetMetricsSource, max_series: int = MAX_SERIES) -> MetricsExporter:
    return MetricsExporter(source, lambda: 0.0, max_series)


def finished(slices: Generator[None, None, list[bytes]], between: Callable[[], None] = lambda: None) -> list[bytes]:
    """The pieces, with something done between each two slices."""
    while True:
        try:
            next(slices)
        except StopIteration as over:
            pieces: list[bytes] = over.value
            return pieces
        between()


def series_in(pieces: list[bytes]) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in b"".join(pieces).decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def of_destinations(series: dict[str, float]) -> list[str]:
    return [name for name in series if 'destination="' in name]


async def test_a_family_is_one_block_whatever_the_order_things_are_read_in() -> None:
    text = b"".join(await exporter_of(many(3)).scrape(TEXT)).decode()

    named = [re.sub(r"_(bucket|count|sum)$", "", name) for name in re.findall(r"^(sidecar_\w+)", text, re.MULTILINE)]
    blocks = [name for at, name in enumerate(named) if at == 0 or named[at - 1] != name]
    assert blocks == [metric.name for metric in METRICS if metric.name in named]
    assert len(list(text_string_to_metric_families(text))) > len(METRICS)


async def test_openmetrics_ends_as_it_must() -> None:
    pieces = await exporter_of(SetMetricsSource()).scrape(OPENMETRICS)

    assert b"".join(pieces).endswith(b"\n# EOF\n")
    assert b"".join(pieces).count(b"# EOF") == 1


def test_between_two_slices_no_more_is_read_than_one_destination() -> None:
    source = many(50)
    times = iter(range(1000))  # the clock is read once for each destination
    slices = MetricsExporter(source, lambda: float(next(times))).slices(TEXT)

    for number in range(50):
        next(slices)
        assert next(times) == 2 * number + 1
    rest = sum(1 for _ in slices)

    assert rest == len(METRICS)


async def test_others_have_their_turn_while_a_scrape_is_made() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await turn()

    beside = asyncio.create_task(others())
    await exporter_of(many(40)).scrape(TEXT)
    beside.cancel()

    assert turns >= 40


def test_the_numbers_of_one_destination_are_of_one_instant_though_traffic_goes_on() -> None:
    source = many(10)

    def call_all() -> None:
        for one in source.destinations.values():
            exchange = RetryState(one, 0.0, float("inf"))
            exchange.admit(0.0)
            exchange.on_status(0.0, 200, None)
            exchange.finish(0.0, Result.SUCCESS)

    series = series_in(finished(exporter_of(source).slices(TEXT), call_all))

    for place, name in enumerate(source.destinations):
        of_name = {series_name: value for series_name, value in series.items() if f'"{name}"' in series_name}
        requests = sum(value for key, value in of_name.items() if key.startswith("sidecar_requests_total"))
        attempts = sum(value for key, value in of_name.items() if key.startswith("sidecar_attempts_total"))
        assert requests == attempts == place


def test_destinations_that_come_and_go_meanwhile_do_not_spoil_it() -> None:
    source = many(5)
    slices = exporter_of(source).slices(TEXT)
    next(slices)
    source.destinations = {"new": destination("new")}

    series = series_in(finished(slices))

    assert {name for name in series if name.startswith("sidecar_budget_balance")} == {
        f'sidecar_budget_balance{{destination="service-{number}"}}' for number in range(5)
    }


async def test_more_destinations_than_there_is_room_for_are_left_out_whole_and_counted() -> None:
    exporter = exporter_of(many(200), max_series=1000)

    first = series_in(await exporter.scrape(TEXT))
    second = series_in(await exporter.scrape(TEXT))

    kept = re.findall(r'sidecar_budget_balance\{destination="([^"]+)"', "\n".join(first))
    each = len(of_destinations(first)) // len(kept)
    assert kept == [f"service-{number}" for number in range(len(kept))]
    assert 0 < len(kept) == 1000 // each
    assert first["sidecar_series_dropped_total"] == each * (200 - len(kept))
    assert second["sidecar_series_dropped_total"] == 2 * each * (200 - len(kept))


async def test_a_hundred_destinations_fit_and_the_documents_say_how_many_series_one_has() -> None:
    series = series_in(await exporter_of(many(100)).scrape(TEXT))

    each = len(of_destinations(series)) // 100
    assert series["sidecar_series_dropped_total"] == 0
    assert f"One has {each}, " in (DOCS / "metrics.md").read_text()
    runbook = (DOCS / "runbooks" / "SidecarSeriesDropped.md").read_text()
    assert f"{each} each" in runbook
    assert f"at most {MAX_SERIES:,} series" in runbook
    assert f"up to {MAX_SERIES // each} destinations fit" in runbook


@pytest.mark.parametrize("count", [100, 500])
async def test_memory_does_not_grow_with_the_destinations_left_out(count: int) -> None:
    exporter = exporter_of(many(count))
    await exporter.scrape(TEXT)

    tracemalloc.start()
    await exporter.scrape(TEXT)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert kept < 0.1 * MEGABYTE
    assert peak < 4.5 * MEGABYTE
