from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sidecar.demo.backlog import Backlog


def backlog(workers: int = 1, limit: int = 10, service: float = 1.0) -> Backlog[str]:
    return Backlog(workers, limit, lambda: service)


def test_a_free_worker_takes_a_job_up_at_once() -> None:
    queue = backlog()

    queue.accept(5.0, "a")

    assert queue.next_finish() == 6.0
    assert (queue.running, queue.waiting) == (1, 0)


def test_jobs_are_done_in_the_order_they_came_however_late_anybody_looks() -> None:
    queue = backlog()
    for job in "abc":
        queue.accept(0.0, job)

    done = queue.finished(2.5)

    assert done == ["a", "b"]
    assert queue.next_finish() == 3.0


def test_workers_work_at_the_same_time() -> None:
    queue = backlog(workers=2)
    for job in "abc":
        queue.accept(0.0, job)

    done = queue.finished(1.0)

    assert done == ["a", "b"]
    assert (queue.running, queue.waiting) == (1, 0)


def test_a_full_queue_takes_nothing_on() -> None:
    queue = backlog(limit=1)
    queue.accept(0.0, "in work")
    queue.accept(0.0, "waiting")

    accepted = queue.accept(0.0, "too many")

    assert not accepted
    assert queue.finished(9.0) == ["in work", "waiting"]


def test_nothing_is_finished_while_it_hangs() -> None:
    queue = backlog(workers=2)
    queue.accept(0.0, "a")

    queue.hang(0.5)

    assert queue.accept(0.6, "b")
    assert queue.finished(100.0) == []
    assert queue.next_finish() is None


def test_after_a_hang_a_running_job_needs_what_it_still_needed() -> None:
    queue = backlog(workers=2)
    queue.accept(0.0, "a")
    queue.hang(0.25)
    queue.accept(3.0, "b")

    queue.resume(10.0)

    assert queue.finished(10.74) == []
    assert queue.finished(10.75) == ["a"]
    assert queue.finished(11.0) == ["b"]


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.floats(0.0, 1.0), st.sampled_from(["arrive", "hang", "resume", "look"])), max_size=80),
)
def test_what_was_accepted_is_done_exactly_once_and_never_faster_than_the_workers_can(
    workers: int, steps: list[tuple[float, str]]
) -> None:
    queue: Backlog[int] = Backlog(workers, 5, lambda: 0.5)
    now = 0.0
    accepted: list[int] = []
    done: list[int] = []

    for number, (pause, step) in enumerate(steps):
        now += pause
        done += queue.finished(now)
        match step:
            case "arrive" if queue.accept(now, number):
                accepted.append(number)
            case "hang":
                queue.hang(now)
            case "resume":
                queue.resume(now)
        assert queue.running <= workers
        assert queue.waiting <= 5
        assert len(done) <= workers * (now / 0.5 + 1)
    queue.resume(now)
    done += queue.finished(now + 100.0)

    assert Counter(done) == Counter(accepted)
