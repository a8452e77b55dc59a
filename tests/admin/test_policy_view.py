"""The policy as JSON, from a running process."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.app.processes import under_an_exception
from tests.fakes.origin import Origin, replying, response


async def test_whoever_asks_at_the_instant_is_told_what_holds_from_it_on(tmp_path: Path) -> None:
    """Even when the loop has not come to its timer yet."""
    now = [datetime(2026, 12, 4, 23, 59, 59, tzinfo=UTC)]
    async with Origin(replying(response(200))) as origin:
        async with under_an_exception(origin.port, tmp_path, lambda: now[0]) as sidecar:
            last = json.loads(json.dumps(sidecar.state.policy_view()))
            now[0] += timedelta(seconds=1)
            after = json.loads(json.dumps(sidecar.state.policy_view()))

    ratios = [view["destinations"]["payments"]["budget.ratio"] for view in (last, after)]
    assert ratios[0] == {
        "value": "0.35",
        "source": "exception",
        "place": f"{tmp_path}/sidecar.yaml:7",
        "exception": "EX-1",
    }
    assert ratios[1] == {"value": "0.1", "source": "baseline", "place": "built in"}
    states = [(view["exceptions"][0]["state"], view["exceptions"][0]["remaining_seconds"]) for view in (last, after)]
    assert states == [("live", 1.0), ("expired", 0.0)]
