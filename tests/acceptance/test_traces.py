"""Traces of the real command: to a real receiver, to none, to one that is down, and not at all."""

import asyncio
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.cli.test_run import free_port, run
from tests.fakes.origin import Origin, hanging, replying, response
from tests.fakes.receiver import Receiver
from tests.fakes.running import running

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EXTRA = ("opentelemetry", "requests", "google.protobuf", "sidecar.telemetry.otlp")


def call(url: str, **headers: str) -> int:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            status: int = answer.status
    except urllib.error.HTTPError as error:
        error.close()
        status = error.code
    return status


async def calls(url: str, count: int, **headers: str) -> list[int]:
    return [await asyncio.to_thread(call, url, **headers) for _ in range(count)]


def modules_of(folder: Path) -> tuple[str, ...]:
    """A command that is `sidecar`, and at its end writes down what it had imported."""
    script = (
        "import atexit, pathlib, sys\n"
        f"atexit.register(lambda: pathlib.Path({str(folder / 'modules')!r}).write_text('\\n'.join(sys.modules)))\n"
        "from sidecar.cli import main\nmain()\n"
    )
    return sys.executable, "-c", script


async def test_a_receiver_gets_the_callers_trace_with_a_span_for_each_attempt(tmp_path: Path) -> None:
    async with Origin(replying(response(200))) as origin:
        with (
            Receiver() as receiver,
            running(
                tmp_path,
                {"payments": {"endpoints": [f"http://127.0.0.1:{origin.port}"]}},
                telemetry={"traces": {"endpoint": receiver.url, "sample": 0}},
            ) as sidecar,
        ):
            unsampled = await calls(f"{sidecar.url}/quiet", 1, traceparent=f"{TRACEPARENT[:-2]}00")
            untraced = await calls(f"{sidecar.url}/untraced", 1)
            origin.answer = replying(response(503), response(200))
            followed = await calls(f"{sidecar.url}/charges/7?card=4242", 1, traceparent=TRACEPARENT)
            exchange, first, second = receiver.wait_for(lambda spans: len(spans) >= 3)
            spans = [line for line in sidecar.get("/metrics").splitlines() if line.startswith("sidecar_spans_total")]

    assert unsampled == untraced == followed == [200]
    quiet, plain, *traced = origin.requests
    assert (quiet.header("traceparent"), plain.header("traceparent")) == (f"{TRACEPARENT[:-2]}00", None)
    assert [request.header("traceparent") for request in traced] == [
        f"00-{TRACEPARENT[3:35]}-{span.id}-01" for span in (first, second)
    ]
    assert (exchange.kind, exchange.parent, exchange.trace) == ("SERVER", TRACEPARENT[36:52], TRACEPARENT[3:35])
    assert [event for event, _ in exchange.events] == ["backoff"]
    assert [(span.kind, span.parent) for span in (first, second)] == [("CLIENT", exchange.id)] * 2
    assert "http.request.resend_count" not in first.attributes
    assert second.attributes["http.request.resend_count"] == 1
    assert exchange.resource["service.name"] == "checkout"
    assert "4242" not in str(receiver.spans)
    assert 'sidecar_spans_total{result="exported"} 3' in spans
    assert len(receiver.spans) == 3


async def test_the_last_spans_are_sent_before_the_end(tmp_path: Path) -> None:
    async with Origin(replying(response(200))) as origin:
        with Receiver() as receiver:
            with running(
                tmp_path,
                {"payments": {"endpoints": [f"http://127.0.0.1:{origin.port}"]}},
                telemetry={"traces": {"endpoint": receiver.url, "sample": 1}},
            ) as sidecar:
                await calls(sidecar.url, 20)

            assert len(receiver.spans) == 40


@pytest.mark.parametrize("trouble", ["nobody listens", "it refuses", "it hangs"])
async def test_a_receiver_in_trouble_harms_nobody(trouble: str, tmp_path: Path) -> None:
    async with Origin(replying(response(200))) as origin, Origin(hanging) as silent:
        with Receiver(status=500) as receiver:
            endpoint = {
                "nobody listens": f"http://127.0.0.1:{free_port()}/v1/traces",
                "it refuses": receiver.url,
                "it hangs": f"http://127.0.0.1:{silent.port}/v1/traces",
            }[trouble]
            with running(
                tmp_path,
                {"payments": {"endpoints": [f"http://127.0.0.1:{origin.port}"]}},
                telemetry={"traces": {"endpoint": endpoint, "sample": 1}},
            ) as sidecar:
                began = time.monotonic()
                statuses = await calls(sidecar.url, 200)
                took = time.monotonic() - began
                metrics = sidecar.get("/metrics")
                leaving = time.monotonic()
            left = time.monotonic() - leaving

    assert statuses == [200] * 200
    assert took < 5.0
    assert 'sidecar_spans_total{result="exported"} 0' in metrics
    assert left < 5.0
    assert [line["event"] for line in sidecar.lines("traces_lost")] == ["traces_lost"]
    assert len(sidecar.lines("message")) < 20


async def test_without_traces_nothing_of_the_extra_is_imported_and_nothing_is_exported(tmp_path: Path) -> None:
    async with Origin(replying(response(503), response(200))) as origin:
        with running(
            tmp_path,
            {"payments": {"endpoints": [f"http://127.0.0.1:{origin.port}"]}},
            command=modules_of(tmp_path),
        ) as sidecar:
            statuses = await calls(sidecar.url, 3, TraceParent=TRACEPARENT)
            metrics = sidecar.get("/metrics")

    modules = (tmp_path / "modules").read_text().splitlines()
    assert statuses == [200] * 3
    assert {request.header("traceparent") for request in origin.requests} == {TRACEPARENT}
    assert "sidecar.proxy.exchange" in modules
    assert [name for name in modules if name.startswith(EXTRA)] == []
    assert "sidecar_spans_total{" not in metrics


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("{endpoint: 'http://collector:4318'}", "telemetry.traces.endpoint: must be a URL with its path"),
        ("{endpoint: 'collector:4318/v1/traces'}", "telemetry.traces.endpoint: must be a URL with its path"),
        ("{endpoint: 'http://user:pw@collector/v1/traces'}", "telemetry.traces.endpoint: must be a URL"),
        ("{endpoint: 'http://a_b..c/v1/traces'}", "telemetry.traces.endpoint: its host must name a host"),
        ("{sample: 0.5}", "telemetry.traces.endpoint: is required"),
        ("{endpoint: 'http://c/v1/traces', sample: 2}", "telemetry.traces.sample: must be between 0 and 1"),
        ("{endpoint: 'http://c/v1/traces', ratio: 1}", "telemetry.traces.ratio: "),
    ],
)
def test_a_wrong_setting_is_named_with_its_line(written: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text(f"service: checkout\ntelemetry:\n  traces: {written}\n")

    ran = run("--config", str(file))

    assert ran.returncode == 2
    assert ran.stderr.startswith(f"{file}:")
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr


async def test_a_sidecar_without_the_extra_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "sidecar.yaml").write_text(
        "service: checkout\nadmin: {listen: '127.0.0.1:0'}\negress: {listen: ['127.0.0.1:0']}\n"
        "telemetry: {traces: {endpoint: 'http://127.0.0.1:4318/v1/traces'}}\n"
    )
    script = (
        "import sys\nsys.modules['opentelemetry'] = None\n"
        f"sys.argv = ['sidecar', 'run', '--config', {str(tmp_path / 'sidecar.yaml')!r}]\n"
        "from sidecar.cli import main\nmain()\n"
    )

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    _, told = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode == 2
    assert told.decode().endswith("pip install 'retry-sidecar[otel]'\n")
    assert b"Traceback" not in told
