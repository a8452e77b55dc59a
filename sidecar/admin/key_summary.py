"""The ingress gate in figures, as the live page and `sidecar top` show it: routes, unknown outcomes, and the store."""

from collections.abc import Mapping
from typing import Final

from sidecar.idempotency.gate import PASSED_UNGUARDED, RUN_ENDS, KeyOutcome
from sidecar.telemetry.metrics_source import KeyStoreHealth, MetricsSource

_ENDS: Final = {outcome.value for outcome in RUN_ENDS}
_PASSED: Final = {outcome.value for outcome in PASSED_UNGUARDED}
_NOT_REFUSED: Final = _ENDS | _PASSED | {KeyOutcome.NEW.value, KeyOutcome.REPLAYED.value}


def key_summary(source: MetricsSource) -> dict[str, object] | None:
    """All of it, counted since the start; None where no route has a contract."""
    store, outcomes, probes = source.key_store, source.key_outcomes, source.key_probes
    if store is None or not outcomes:
        return None
    return {
        "unknown": source.keys_unknown or 0,
        "store": _store(store),
        "routes": [route_summary(name, counts, probes.get(name)) for name, counts in outcomes.items()],
    }


def route_summary(name: str, counts: Mapping[str, int], probes: Mapping[str, int] | None) -> dict[str, object]:
    """One route. `counts` are by `gate.KeyOutcome`'s words, `probes` by `gate.ProbeOutcome`'s; None without a probe.

    `refused` and the like are requests, by the word that they were answered with; `outcome_unknown` among them may have
    been answered with the kept error. `running` is what was granted a run that has not ended.
    """
    new, replayed = counts[KeyOutcome.NEW.value], counts[KeyOutcome.REPLAYED.value]
    ended = {word: counts[word] for word in _ENDS}
    return {
        "name": name,
        "requests": sum(count for word, count in counts.items() if word not in _ENDS),
        "new": new,
        "replayed": replayed,
        "running": max(0, new - sum(ended.values())),
        "ended": _happened(ended),
        "refused": _happened({word: count for word, count in counts.items() if word not in _NOT_REFUSED}),
        "passed": _happened({word: counts[word] for word in _PASSED}),
        "probes": None if probes is None else _happened(probes),
    }


def _store(store: KeyStoreHealth) -> dict[str, object]:
    seconds = store.seconds
    known = bool(seconds.count)
    return {
        "failing": store.failing,
        "failures": store.failures,
        "transitions": seconds.count,
        "p50": seconds.quantile(0.5) if known else None,
        "p99": seconds.quantile(0.99) if known else None,
    }


def _happened(counts: Mapping[str, int]) -> dict[str, int]:
    happened = [(word, count) for word, count in counts.items() if count]
    return dict(sorted(happened, key=lambda each: (-each[1], each[0])))
