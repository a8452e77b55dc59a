import subprocess
import sys
import textwrap

from sidecar.demo.child import run


def python(code: str, told: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        input=told,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_work_that_is_done_is_code_0() -> None:
    done = []

    async def work() -> None:
        done.append(True)

    code = run(work())

    assert code == 0
    assert done == [True]


def test_a_parent_that_no_longer_listens_is_a_quiet_end() -> None:
    async def work() -> None:
        raise BrokenPipeError

    code = run(work())

    assert code == 130


def test_commands_end_when_the_parent_does() -> None:
    child = python(
        """
        from sidecar.demo.child import commands, run

        async def work():
            async for line in commands():
                print("heard", line)
            print("alone")

        run(work())
        """,
        told="start\nstop\n",
    )

    assert child.stdout.splitlines() == ["heard start", "heard stop", "alone"]
    assert child.stderr == ""


def test_an_error_in_a_callback_ends_the_process() -> None:
    child = python(
        """
        import asyncio
        from sidecar.demo.child import run

        async def work():
            asyncio.get_running_loop().call_soon(lambda: 1 / 0)
            await asyncio.sleep(60)

        run(work())
        """
    )

    assert child.returncode == 70
    assert child.stderr.splitlines()[-1] == "ZeroDivisionError('division by zero')"
