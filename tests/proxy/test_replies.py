"""Answers of the sidecar's own."""

import json

from sidecar.proxy.replies import TYPE_PREFIX, problem


def test_an_answer_of_our_own_names_reason_and_destination() -> None:
    answer = problem(502, "reset", "it broke", destination="payments")

    head, _, body = answer.partition(b"\r\n\r\n")
    told = json.loads(body)
    assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"Content-Type: application/problem+json" in head
    assert b"Content-Length: %d" % len(body) in head
    assert told["type"] == TYPE_PREFIX + "reset"
    assert told["destination"] == "payments"
    assert told["status"] == 502


def test_an_answer_to_head_has_the_length_but_not_the_body() -> None:
    answer = problem(503, "breaker_open", "no", to_head=True, close=True)

    assert answer.endswith(b"Connection: close\r\n\r\n")
    assert b"Content-Length: 0" not in answer
