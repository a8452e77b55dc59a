from sidecar.engine.lateness import MARGIN, MEMORY_SECONDS, Lateness


def test_nothing_is_learned_at_first() -> None:
    assert Lateness().seconds == 0.0


def test_late_is_what_is_later_than_the_longest_late_answer() -> None:
    lateness = Lateness()

    for seconds in (3.0, 8.0, 5.0):
        lateness.learn(seconds, 10.0)

    assert lateness.seconds == MARGIN * 8.0


def test_it_is_remembered_for_one_memory_and_forgotten_after_two() -> None:
    lateness = Lateness()
    lateness.learn(8.0, 0.0)

    lateness.learn(3.0, 0.9 * MEMORY_SECONDS)
    within = lateness.seconds
    lateness.learn(3.0, 1.5 * MEMORY_SECONDS)
    after_one = lateness.seconds
    lateness.learn(3.0, 2.5 * MEMORY_SECONDS)
    after_two = lateness.seconds

    assert (within, after_one, after_two) == (MARGIN * 8.0, MARGIN * 8.0, MARGIN * 3.0)


def test_after_a_long_silence_it_begins_anew() -> None:
    lateness = Lateness()
    lateness.learn(8.0, 0.0)

    lateness.learn(3.0, 10 * MEMORY_SECONDS)

    assert lateness.seconds == MARGIN * 3.0
