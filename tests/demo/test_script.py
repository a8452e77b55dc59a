import pytest

from sidecar.demo.script import FAST, FULL, Scene, Script, ScriptPhase


def test_the_phase_changes_at_the_instant_its_scene_begins() -> None:
    script = Script((Scene(ScriptPhase.HEALTHY, 2.0), Scene(ScriptPhase.FAILING, 1.0), Scene(ScriptPhase.HEALTHY, 3.0)))

    phases = [script.phase_at(at) for at in (-1.0, 0.0, 1.999, 2.0, 2.999, 3.0, 100.0)]

    assert script.begins() == [0.0, 2.0, 3.0]
    assert phases == [
        ScriptPhase.HEALTHY,
        ScriptPhase.HEALTHY,
        ScriptPhase.HEALTHY,
        ScriptPhase.FAILING,
        ScriptPhase.FAILING,
        ScriptPhase.HEALTHY,
        ScriptPhase.HEALTHY,
    ]


def test_the_full_script_and_the_wait_for_the_last_answers_take_about_40_seconds() -> None:
    assert 38.0 <= FULL.seconds + FULL.deadline <= 42.0


@pytest.mark.parametrize("script", [FULL, FAST], ids=["full", "fast"])
def test_both_scripts_hang_longer_than_a_naive_try_and_end_healthy(script: Script) -> None:
    hangs = [scene.seconds for scene in script.scenes if scene.phase is ScriptPhase.HANGING]

    assert min(hangs) > script.per_try
    assert script.scenes[-1].phase is ScriptPhase.HEALTHY


@pytest.mark.parametrize("script", [FULL, FAST], ids=["full", "fast"])
def test_requests_alone_and_requests_with_the_budgets_retries_fit_the_capacity(script: Script) -> None:
    assert 0.75 * script.capacity <= script.rate <= 0.8 * script.capacity
    assert script.rate * 1.1 < script.capacity
