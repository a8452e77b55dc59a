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


def test_structlog_is_had_without_what_draws() -> None:
    loaded = set(modules_after("import sidecar.telemetry.plain_structlog"))

    assert "structlog.dev" in loaded
    assert not loaded & {"rich", "rich.console", "pygments"}


def test_a_proxy_carries_nothing_that_draws() -> None:
    loaded = set(modules_after("import sidecar.cli, sidecar.cli.run, sidecar.app"))

    assert not loaded & {"structlog", "rich", "rich.console", "pygments", "matplotlib", "jsonschema"}


def test_whoever_draws_has_rich_before_and_after() -> None:
    before = modules_after("import rich.console, sidecar.telemetry.console_lines")
    after = modules_after("import sidecar.telemetry.console_lines, rich.console")

    assert "rich.console" in before
    assert "rich.console" in after
