import io

import pytest
from rich.console import Console

from sidecar.demo.counts import SLOTS_PER_SECOND
from sidecar.demo.observation import Observation
from sidecar.demo.reading import SideReading
from sidecar.demo.screen import DemoScreen, condition, now_of
from sidecar.demo.script import ScriptPhase
from tests.demo.sides import TROUBLED, side

READING = SideReading(breaker="open", balance=4.5, limit=20.0, in_flight=3, refusals={"breaker_open": 7})


def governed() -> Observation:
    return side("++--++++++", name="with the sidecar")


def naive() -> Observation:
    return side("++--------", attempts=[40, 40, 80] + [120] * 7, name="naive, 3 retries")


def drawn(width: int, seconds: float, reading: SideReading | None = READING, encoding: str = "utf-8") -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(width=width, file=file)
    console.print(DemoScreen(console, TROUBLED).frame(seconds, governed(), naive(), reading))
    file.flush()
    return file.buffer.getvalue().decode(encoding).splitlines()


def test_now_is_the_last_second_that_both_processes_have_told() -> None:
    observed = naive()

    now = now_of(observed, seconds=4.5)

    assert now.load == 120
    assert now.amplification == 3.0
    assert now.success == 0.0
    assert now.worst_amplification == 3.0
    assert now.requests == 160
    assert now.success_so_far == 0.5


def test_a_second_without_any_answer_is_no_success() -> None:
    observed = naive()
    for slot in range(4 * SLOTS_PER_SECOND, 5 * SLOTS_PER_SECOND):
        observed.requests[slot].ended_badly = 0

    now = now_of(observed, seconds=5.5)

    assert now.success == 0.0


def test_before_anything_was_told_there_is_nothing_to_say() -> None:
    now = now_of(Observation("some side"), seconds=0.0)

    assert (now.success, now.amplification, now.load) == (None, None, 0)


def test_a_side_that_stays_unwell_after_the_trouble_is_still_down() -> None:
    observed = naive()

    words, _ = condition(observed, now_of(observed, 9.5), TROUBLED, 9.5)

    assert words == "still down (6 s)"


def test_a_side_whose_callers_succeed_is_well() -> None:
    observed = governed()

    words, _ = condition(observed, now_of(observed, 9.5), TROUBLED, 9.5)

    assert words == "well"


def test_while_the_dependency_is_in_trouble_the_state_is_its_phase() -> None:
    observed = governed()
    observed.phase = ScriptPhase.HANGING

    words, _ = condition(observed, now_of(observed, 3.0), TROUBLED, 3.0)

    assert words == "hanging"


def test_the_picture_has_both_sides_and_what_the_sidecar_says() -> None:
    text = "\n".join(drawn(100, 9.5))

    assert "dependency healthy" in text
    assert "still down (6 s)" in text
    assert "120/s, 240 %" in text
    assert "4.5 retries" in text
    assert "3 of 20" in text
    assert "refused by the sidecar: breaker_open 7" in text


def test_a_sidecar_that_says_nothing_is_not_given_words() -> None:
    text = "\n".join(drawn(100, 9.5, reading=None))

    assert text.count("not told") == 3


def test_the_bars_of_both_sides_have_one_scale() -> None:
    lines = drawn(100, 10.5)

    assert " with the sidecar  ▃▃▃▃▃▃▃▃▃▃" in lines
    assert " naive, 3 retries  ▃▃▅▇▇▇▇▇▇▇" in lines
    assert " dependency        --ha------" in lines


@pytest.mark.parametrize("width", [20, 30, 44, 61, 62, 80, 200])
def test_the_picture_fits_the_terminal(width: int) -> None:
    lines = drawn(width, 9.5)

    assert max(map(len, lines)) <= width
    assert len(lines) <= 24


def test_a_terminal_that_knows_no_blocks_gets_other_bars() -> None:
    text = "\n".join(drawn(80, 9.5, encoding="ascii"))

    assert "healthy" in text
    assert "█" not in text


def test_without_a_terminal_a_second_is_one_line() -> None:
    screen = DemoScreen(Console(file=io.StringIO()), TROUBLED)

    line = screen.line(9.5, governed(), naive(), READING)

    assert "\n" not in line
    assert "with the sidecar  100 % ok, amp 1.00,   40/s, queue    0, breaker open" in line
    assert "naive, 3 retries    0 % ok, amp 3.00,  120/s" in line
