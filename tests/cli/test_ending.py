import pytest

from sidecar.cli.ending import give_up


@pytest.mark.parametrize(
    ("command", "told"), [("sidecar report", "sidecar report: no such file\n"), (None, "no such file\n")]
)
def test_a_command_that_can_not_do_its_job_says_why_and_ends_with_2(
    command: str | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        give_up(command, "no such file")

    assert (ended.value.code, capsys.readouterr()) == (2, ("", told))
