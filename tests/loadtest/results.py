"""Canned figures of two rounds."""

from loadtest.figures import Results, Round

PROCESS = {"process.start_s": 0.4, "process.rest_rss_mb": 40.0, "process.idle_per_1000_mb": 9.0}


def a_round(cpu_us: float, **errors: int) -> Round:
    """A round of a GET row and of its half rate. Errors are of the GET row, by reason."""
    done = Round(
        {
            **PROCESS,
            "get.cpu_us": cpu_us,
            "get.rps": 1e6 / cpu_us,
            "get.p50_ms": 1.0,
            "get.p99_ms": 2.0,
            "get.busy_share": 0.99,
            "half.cpu_us": cpu_us,
            "half.rps": 5e5 / cpu_us,
            "half.p50_ms": 0.5,
            "half.p99_ms": cpu_us / 100,
            "half.busy_share": 0.5,
            "half.late_ms": 0.05,
        }
    )
    done.add_errors("get", errors)
    return done


def two_rounds(*, sidecar: tuple[Round, Round], envoy: tuple[Round, Round]) -> Results:
    return Results("envoy", {"envoy": envoy, "sidecar": sidecar})


def good() -> Results:
    """The second round was twice as slow for both, as on a machine where somebody else woke up."""
    return two_rounds(sidecar=(a_round(30.0), a_round(60.0)), envoy=(a_round(75.0), a_round(150.0)))
