"""A request and its response say the same length as they have."""

import pytest

from loadtest.workload import VARIANTS, WORKLOADS, Workload


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=lambda workload: workload.name)
def test_a_response_announces_the_length_it_has(workload: Workload) -> None:
    head, _, body = workload.response().partition(b"\r\n\r\n")

    announced = int(head.rpartition(b"Content-Length: ")[2])

    assert announced == len(body) == len(workload.reply)


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=lambda workload: workload.name)
def test_a_request_announces_the_length_it_has(workload: Workload) -> None:
    head, _, body = workload.request().partition(b"\r\n\r\n")

    announced = int(head.rpartition(b"Content-Length: ")[2]) if b"Content-Length" in head else 0

    assert announced == len(body) == workload.upload_bytes


def test_no_two_requests_and_no_two_responses_of_the_varied_workload_are_alike() -> None:
    varied = WORKLOADS["varied"]

    assert len(set(varied.requests())) == len(set(varied.responses())) == VARIANTS
    assert len(set(WORKLOADS["get"].requests())) == 1
