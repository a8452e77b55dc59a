"""The finite capacity that everything else is measured against."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sidecar.demo.workforce import Workforce


def workforce(workers: int = 2, queue: int = 10, work: float = 1.0) -> Workforce[str]:
    return Workforce(workers, queue, lambda _: work, 0.0)


def test_no_more_is_done_at_once_than_there_are_workers() -> None:
    force = workforce()

    accepted = [force.accept(job) for job in "abc"]

    assert accepted == [True, True, True]
    assert force.advance(0.9) == []
    assert force.advance(1.0) == ["a", "b"]
    assert force.advance(2.0) == ["c"]


def test_a_late_look_costs_no_capacity() -> None:
    force = workforce(workers=1)

    for job in "abc":
        force.accept(job)

    assert force.advance(2.5) == ["a", "b"]
    assert force.next_finish() == 3.0


def test_a_full_queue_takes_nothing() -> None:
    force = workforce(workers=1, queue=1)

    assert [force.accept(job) for job in "abc"] == [True, True, False]


def test_a_hang_stops_the_work_and_its_end_goes_on_with_it() -> None:
    force = workforce(workers=1)
    force.accept("a")
    force.advance(0.4)

    force.pace(0.0)
    hanging = force.advance(5.0), force.next_finish()
    force.accept("b")
    force.pace(1.0)

    assert hanging == ([], None)
    assert force.advance(5.5) == []
    assert force.advance(5.7) == ["a"]
    assert force.advance(6.7) == ["b"]


def test_whoever_came_into_an_idle_hang_is_taken_up_at_its_end() -> None:
    force = workforce()
    force.pace(0.0)
    force.accept("a")
    force.advance(3.0)

    force.pace(1.0)

    assert force.next_finish() == 4.0


def test_a_brownout_is_a_slower_pace() -> None:
    force = workforce(workers=1)
    force.accept("a")
    force.pace(0.4)

    assert force.next_finish() == 2.5
    assert force.advance(2.4) == []
    assert force.advance(2.5) == ["a"]


def test_what_a_dead_process_had_begun_is_lost_with_it() -> None:
    force = workforce(workers=1)
    for job in "ab":
        force.accept(job)

    force.lose()
    force.accept("c")

    assert force.advance(9.0) == ["c"]


@given(
    st.integers(1, 4),
    st.lists(
        st.tuples(st.floats(0.0, 1.0), st.sampled_from(["arrive", "hang", "slow", "resume", "look"])), max_size=80
    ),
)
def test_what_was_accepted_is_done_exactly_once_and_never_faster_than_the_workers_can(
    workers: int, steps: list[tuple[float, str]]
) -> None:
    force: Workforce[int] = Workforce(workers, 5, lambda _: 0.5, 0.0)
    now = 0.0
    accepted: list[int] = []
    done: list[int] = []

    for number, (pause, step) in enumerate(steps):
        now += pause
        done += force.advance(now)
        match step:
            case "arrive" if force.accept(number):
                accepted.append(number)
            case "hang":
                force.pace(0.0)
            case "slow":
                force.pace(0.4)
            case "resume":
                force.pace(1.0)
        assert force.running <= workers
        assert force.waiting <= 5
        assert len(done) <= workers * (now / 0.5 + 1)
    force.pace(1.0)
    done += force.advance(now + 100.0)

    assert Counter(done) == Counter(accepted)
