"""What a real receiver decodes."""

import logging
import time

import pytest
from msgspec.structs import replace

from sidecar import __version__
from sidecar.telemetry.otlp import OtlpExporter
from sidecar.telemetry.trace import AttemptSpan, ExchangeTrace, TraceEvent
from tests.fakes.receiver import Receiver, Span
from tests.telemetry.traces import TRACE

FIRST = AttemptSpan(
    span_id=0xA1, kind="first", resend=0, host="10.0.0.1", port=8080, scheme="http", outcome="503", began=1.0, ended=1.1
)
SECOND = AttemptSpan(
    span_id=0xA2, kind="retry", resend=1, host="10.0.0.2", port=8080, scheme="http", outcome="200", began=1.2, ended=1.5
)
RETRIED = replace(
    TRACE,
    trace_id=0x0AF7651916CD43DD8448EB211C80319C,
    parent_id=0xB7AD6B7169203331,
    span_id=0xE0,
    path="/charges/7",
    attempts=(FIRST, SECOND),
    events=(TraceEvent("backoff", 1.1, {"seconds": 0.1, "cause": "status_503"}),),
)


def sent(*traces: ExchangeTrace) -> list[Span]:
    with Receiver() as receiver:
        exporter = OtlpExporter(receiver.url, "checkout")
        assert exporter.export(traces)
        exporter.close()
    assert receiver.paths == {"/v1/traces"}
    assert receiver.content_types == {"application/x-protobuf"}
    return receiver.spans


def test_an_exchange_is_a_server_span_with_a_client_span_for_each_attempt() -> None:
    exchange, first, second = sent(RETRIED)

    trace = "0af7651916cd43dd8448eb211c80319c"
    assert {span.trace for span in (exchange, first, second)} == {trace}
    assert [span.name for span in (exchange, first, second)] == ["GET payments"] * 3
    assert [span.kind for span in (exchange, first, second)] == ["SERVER", "CLIENT", "CLIENT"]
    assert exchange.parent == "b7ad6b7169203331"
    assert (first.id, second.id) == ("00000000000000a1", "00000000000000a2")
    assert first.parent == second.parent == exchange.id == "00000000000000e0"
    assert [span.failed for span in (exchange, first, second)] == [False, True, False]


def test_attributes_are_those_of_the_semantic_conventions_and_our_own() -> None:
    exchange, first, second = sent(RETRIED)

    assert exchange.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/charges/7",
        "sidecar.destination": "payments",
        "sidecar.outcome": "success",
        "sidecar.attempts": 2,
        "sidecar.policy_version": 7,
        "sidecar.request_id": "r-1",
    }
    assert exchange.events == [("backoff", {"sidecar.seconds": 0.1, "sidecar.cause": "status_503"})]
    assert first.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 503,
        "error.type": "503",
        "server.address": "10.0.0.1",
        "server.port": 8080,
        "url.full": "http://10.0.0.1:8080/charges/7",
        "sidecar.destination": "payments",
        "sidecar.attempt.kind": "first",
    }
    assert second.attributes["http.request.resend_count"] == 1
    assert "error.type" not in second.attributes


def test_spans_are_of_the_service() -> None:
    (span, *_) = sent(RETRIED)

    assert span.resource["service.name"] == "checkout"
    assert __version__


def test_instants_are_unix_time() -> None:
    now = time.monotonic()
    trace = replace(
        RETRIED, began=now - 3.0, ended=now - 1.0, attempts=(replace(FIRST, began=now - 2.5, ended=now - 2),)
    )

    exchange, attempt = sent(trace)

    unix = time.time_ns()
    assert abs(unix - exchange.began - 3_000_000_000) < 1_000_000_000
    assert exchange.ended - exchange.began == pytest.approx(2e9, abs=1e6)
    assert attempt.began - exchange.began == pytest.approx(0.5e9, abs=1e6)


def test_a_trace_that_begins_here_has_no_parent() -> None:
    assert sent(replace(RETRIED, parent_id=0))[0].parent == ""


def test_what_got_no_answer_is_an_error_called_by_its_word() -> None:
    gone = replace(RETRIED, status=0, result="abandoned", attempts=(replace(FIRST, outcome="abandoned"),), events=())
    refused = replace(RETRIED, status=503, result="refused", refusal="breaker_open", attempts=(), events=())

    left, attempt, breaker = sent(gone, refused)

    assert left.failed
    assert left.attributes["error.type"] == "abandoned"
    assert "http.response.status_code" not in left.attributes
    assert attempt.failed
    assert attempt.attributes["error.type"] == "abandoned"
    assert breaker.failed
    assert breaker.attributes["sidecar.refusal"] == "breaker_open"


def test_a_client_error_is_an_attempts_error_and_not_the_exchanges() -> None:
    exchange, attempt = sent(replace(RETRIED, status=404, attempts=(replace(FIRST, outcome="404"),)))

    assert (exchange.failed, attempt.failed) == (False, True)


def test_a_made_up_method_is_no_name_of_a_span() -> None:
    exchange, *_ = sent(replace(RETRIED, method="X-EVIL-7"))

    assert exchange.name == "HTTP payments"
    assert exchange.attributes["http.request.method"] == "_OTHER"
    assert exchange.attributes["http.request.method_original"] == "X-EVIL-7"


def test_an_ipv6_endpoint_is_written_in_brackets_in_its_url() -> None:
    _, attempt, _ = sent(replace(RETRIED, attempts=(replace(FIRST, host="::1"), SECOND)))

    assert attempt.attributes["server.address"] == "::1"
    assert attempt.attributes["url.full"] == "http://[::1]:8080/charges/7"


def test_a_receiver_that_refuses_is_a_false_and_no_exception(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    with Receiver(status=400) as receiver:
        exporter = OtlpExporter(receiver.url, "checkout")

        assert exporter.export([RETRIED]) is False
        exporter.close()

    assert receiver.posts == 1


def test_the_environments_proxy_is_not_used_for_it_is_likely_to_be_this_sidecar(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    assert len(sent(RETRIED)) == 3
