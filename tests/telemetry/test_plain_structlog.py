import json
import subprocess
import sys

LOADED = (
    "import json, sys\n{}\nprint(json.dumps(sorted(name for name in sys.modules if sys.modules[name] is not None)))"
)


def modules_after(statement: str) -> list[str]:
    command = [sys.executable, "-c", LOADED.format(statement)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    loaded: list[str] = json.loads(run.stdout)
    return loaded


def test_a_proxy_carries_nothing_that_draws() -> None:
    loaded = set(modules_after("import sidecar.cli, sidecar.cli.run, sidecar.app"))

    assert "structlog.dev" in loaded
    assert not loaded & {"rich", "rich.console", "pygments", "matplotlib", "jsonschema"}


def test_whoever_draws_has_rich_before_and_after() -> None:
    before = modules_after("import rich.console, sidecar.telemetry.log")
    after = modules_after("import sidecar.telemetry.log, rich.console")

    assert "rich.console" in before
    assert "rich.console" in after
