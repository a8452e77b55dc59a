"""What wrk prints becomes the same kind of result as our own generator's."""

import pytest

from loadtest import wrk
from loadtest.workload import WORKLOADS

GET = WORKLOADS["get"]


def printed(**changed: int) -> str:
    said = {
        "requests": 1000,
        "microseconds": 2_000_000,
        "bytes": 1000 * len(GET.response()),
        "p50": 400,
        "p99": 900,
        "connect": 0,
        "read": 0,
        "write": 0,
        "status": 0,
        "timeout": 0,
    } | changed
    fields = ",".join(f'"{name}":{value}' for name, value in said.items())
    return f"Running 2s test\n  1000 requests\n\nloadtest {{{fields}}}\n"


def test_a_clean_run_is_read() -> None:
    load = wrk.read(printed(), GET, cpu_seconds=0.5)

    assert (load.requests, load.seconds, load.p50, load.p99) == (1000, 2.0, 0.0004, 0.0009)
    assert load.cpu_per_request == 0.0005
    assert load.errors == {}


def test_errors_are_kept_by_kind() -> None:
    load = wrk.read(printed(status=7, timeout=1), GET, cpu_seconds=0.5)

    assert load.errors == {"wrk: status": 7, "wrk: timeout": 1}


def test_fewer_bytes_than_the_bodies_have_is_an_error() -> None:
    load = wrk.read(printed(bytes=1000 * len(GET.reply) - 1), GET, cpu_seconds=0.5)

    assert load.errors == {"wrk: bodies too short in sum": 1}


def test_output_without_the_scripts_line_is_refused() -> None:
    with pytest.raises(ValueError, match="wrk ended with 'unable to connect'"):
        wrk.read("unable to connect\n", GET, cpu_seconds=0.5)
