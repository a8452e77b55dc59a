from random import Random

import pytest

from sidecar.engine.trial import COHORT_SAMPLES, MAX_COHORT_SAMPLES, RUN_SAMPLES, Cohort, SlowRun, slower_than


def run_of(latencies: list[float]) -> SlowRun:
    run = SlowRun()
    for k, seconds in enumerate(latencies):
        run.add(seconds, float(k))
    return run


def cohort(latencies: list[float]) -> Cohort:
    one = Cohort()
    for seconds in latencies:
        one.add(seconds)
    return one


def test_a_queue_that_grows_rises() -> None:
    random = Random(1)

    assert run_of([k * 0.1 + random.uniform(0.0, 0.1) for k in range(RUN_SAMPLES)]).rises


@pytest.mark.parametrize("seed", range(50))
def test_latencies_that_depend_on_nothing_do_not_rise(seed: int) -> None:
    random = Random(seed)

    assert not run_of([random.expovariate(1.0) for _ in range(RUN_SAMPLES)]).rises


def test_latencies_that_are_all_the_same_do_not_rise() -> None:
    assert not run_of([0.5] * RUN_SAMPLES).rises


def test_a_long_run_is_spanned_by_few_samples() -> None:
    run = run_of([float(k) for k in range(10_000)])

    assert RUN_SAMPLES <= len(run) < 2 * RUN_SAMPLES
    assert run.latencies[0] < 1000
    assert run.latencies[-1] > 9000
    assert run.mean > 5000
    assert run.began == 0.0


def test_another_answer_ends_the_run() -> None:
    run = run_of([1.0] * 100)

    run.clear()
    run.add(2.0, 7.0)

    assert (len(run), run.began, run.mean) == (1, 7.0, 2.0)


@pytest.mark.parametrize(("ratio", "slower"), [(0.6, False), (1.0, True)])
def test_two_cohorts_without_noise_are_told_apart_at_once(ratio: float, slower: bool) -> None:
    reference, other = cohort([1.0] * COHORT_SAMPLES), cohort([ratio] * COHORT_SAMPLES)

    assert slower_than(other, reference, 0.85) is slower


@pytest.mark.parametrize("few", [2, COHORT_SAMPLES - 1])
def test_a_few_answers_without_noise_do_not_tell_either(few: int) -> None:
    assert slower_than(cohort([1.0] * few), cohort([0.5] * 50), 0.85) is None
    assert slower_than(cohort([1.0] * 50), cohort([0.5] * few), 0.85) is None


def test_few_answers_or_noisy_ones_do_not_tell_yet() -> None:
    random = Random(3)
    noisy = [cohort([random.expovariate(1.0) for _ in range(COHORT_SAMPLES)]) for _ in range(40)]

    undecided = sum(slower_than(one, other, 0.85) is None for one, other in zip(noisy[::2], noisy[1::2], strict=True))

    assert slower_than(cohort([1.0]), cohort([1.0] * 50), 0.85) is None
    assert undecided > 5


def test_enough_answers_tell_in_any_case() -> None:
    random = Random(3)
    one, other = (cohort([random.expovariate(1.0) for _ in range(MAX_COHORT_SAMPLES)]) for _ in range(2))

    assert slower_than(one, other, 0.85) is not None
