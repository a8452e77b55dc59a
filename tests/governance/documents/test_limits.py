from pathlib import Path

import pytest

from sidecar.engine.policy import InvalidPolicy
from sidecar.governance.documents.limits import LIMIT_BOUNDS, WireLimits, limit_rule, limit_text


def test_the_limits_are_those_that_are_promised() -> None:
    limits = WireLimits()

    assert (limits.head_bytes, limits.headers, limits.target_bytes, limits.body_bytes) == (65536, 100, 16384, None)
    assert (limits.head_timeout, limits.idle_timeout, limits.connect_timeout) == (15.0, 75.0, 1.0)
    assert (limits.upstream_headers, limits.upstream_idle_timeout) == (256, 30.0)
    assert (limits.connections, limits.upstream_head_bytes, limits.tunnel_idle_timeout) == (10_000, 65536, 600.0)


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("head_bytes", 1023, "must be between 1KiB and 1MiB"),
        ("head_bytes", (1 << 20) + 1, "must be between 1KiB and 1MiB"),
        ("headers", 0, "must be between 1 and 10000"),
        ("target_bytes", 255, "must be between 256B and head_bytes"),
        ("target_bytes", 65537, "must be between 256B and head_bytes"),
        ("body_bytes", -1, "must be off, or a size"),
        ("head_timeout", 0.0, "must be over 0s and at most 5m"),
        ("idle_timeout", 86401.0, "must be over 0s and at most 24h"),
        ("connections", 0, "must be between 1 and 1000000"),
        ("upstream_head_bytes", 0, "must be between 1KiB and 1MiB"),
        ("upstream_headers", 0, "must be between 1 and 10000"),
        ("upstream_idle_timeout", 0.0, "must be over 0s and at most 24h"),
        ("connect_timeout", 61.0, "must be over 0s and at most 1m"),
        ("tunnel_idle_timeout", 0.0, "must be over 0s and at most 24h"),
        ("dns_ttl", 0.9, "must be between 1s and 24h"),
    ],
)
def test_a_limit_that_protects_nobody_is_refused(field: str, value: float, rule: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        WireLimits(**{field: value})

    assert (caught.value.field, caught.value.rule, caught.value.value) == (field, rule, value)


@pytest.mark.parametrize("name", LIMIT_BOUNDS)
def test_a_limit_takes_its_bounds_and_nothing_beyond(name: str) -> None:
    low, high = LIMIT_BOUNDS[name]
    step = 1e-6 if isinstance(low, float) else 1
    least = low or step if isinstance(low, float) else low
    others = {"head_bytes": 1 << 20} if name == "target_bytes" else {"target_bytes": 256}

    for value in (least, high):
        WireLimits(**{**others, name: value})  # type: ignore[arg-type]
    for value in (least - step, *(() if high is None else (high + step,))):
        with pytest.raises(InvalidPolicy):
            WireLimits(**{**others, name: value})  # type: ignore[arg-type]


def test_every_limit_has_its_bounds() -> None:
    assert LIMIT_BOUNDS.keys() == set(WireLimits.__struct_fields__)


def test_the_documentation_tells_each_limit_its_default_and_its_bounds() -> None:
    page = (Path(__file__).parents[3] / "docs" / "http.md").read_text()
    table = page.partition("## Limits")[2].partition("\n\nA ")[0]

    for name in LIMIT_BOUNDS:
        (line,) = (line for line in table.splitlines() if line.startswith(f"| `{name}` |"))
        _, _, default, bounds, *_ = (cell.strip() for cell in line.split("|"))
        assert default == limit_text(name, getattr(WireLimits(), name))
        assert bounds == limit_rule(name)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("body_bytes", None, "off"),
        ("head_bytes", 65536, "64KiB"),
        ("headers", 100, "100"),
        ("head_timeout", 15.0, "15s"),
    ],
)
def test_a_limit_is_told_as_a_policy_says_it(name: str, value: float | None, text: str) -> None:
    assert limit_text(name, value) == text
