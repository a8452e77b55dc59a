"""The measurement of the webhook: every review is answered rightly, and is timed from when it was due."""

import json

from loadtest.webhook import measured, review, right
from sidecar.inject.admission import review as reviewed
from sidecar.inject.settings import DEFAULTS, InjectionSettings


async def test_every_review_is_answered_and_timed() -> None:
    latency = await measured(50, 0.4, 2)

    assert latency.reviews == 20
    assert latency.wrong == 0
    assert 0 < latency.p50_ms <= latency.p99_ms <= latency.max_ms


def test_only_a_patch_with_a_sidecar_is_right() -> None:
    asked = json.dumps(review()).encode()
    without = json.loads(asked)
    without["request"]["object"]["spec"]["hostNetwork"] = True

    assert right(reviewed(asked, DEFAULTS).body)
    assert not right(reviewed(json.dumps(without).encode(), DEFAULTS).body)
    assert not right(reviewed(json.dumps(without).encode(), InjectionSettings(failure="fail")).body)
    assert not right(b"<html>")
