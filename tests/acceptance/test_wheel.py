"""What `pip install` brings: typed, described, with links that lead somewhere, and something to start from."""

import ast
import os
import re
import subprocess
import sys
import time
import tomllib
import urllib.request
import zipfile
from pathlib import Path

import pytest

from sidecar.demo.stage import free_ports, is_free

DISTRIBUTIONS = {"pyyaml": "yaml", "opentelemetry_sdk": "opentelemetry"}
"""Names of modules that are not those of what brings them."""
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stderr + built.stdout
    (file,) = folder.glob("*.whl")
    return file


def metadata_of(wheel: Path) -> tuple[str, str]:
    """The fields, and the description."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("dist-info/METADATA")]
        fields, _, description = archive.read(name).decode("utf-8").partition("\n\n")
    return fields, description


def test_it_is_typed_and_says_who_made_it_and_where_it_lives(wheel: Path) -> None:
    fields, _ = metadata_of(wheel)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert "sidecar/py.typed" in names
    assert "Author: " in fields
    assert {"Homepage", "Documentation", "Changelog", "Issues"} <= set(re.findall(r"Project-URL: (\w+),", fields))


def test_every_link_of_its_description_leads_out_of_a_checkout(wheel: Path) -> None:
    _, description = metadata_of(wheel)

    targets = re.findall(r"\]\(([^)]+)\)", description) + re.findall(r'(?:src|srcset|href)="([^"]+)"', description)

    assert len(targets) > 10
    assert [target for target in targets if not target.startswith(("https://", "http://", "#"))] == []


def test_an_installed_wheel_can_begin_and_play_a_scenario(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}

    def sidecar(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sidecar", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    begun = sidecar("init", "new")
    checked = sidecar("policy", "check", "new")
    played = sidecar("simulate", "brownout")
    where = subprocess.run(
        [sys.executable, "-c", "import sidecar; print(sidecar.__file__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert where.stdout.startswith(str(tmp_path / "installed"))
    assert (begun.returncode, checked.returncode, played.returncode) == (0, 0, 0), played.stderr + begun.stderr


def test_a_sidecar_of_an_installed_wheel_serves_its_runbooks_and_its_pages_of_refusals(
    wheel: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    admin, egress = free_ports(2)
    command = [sys.executable, "-m", "sidecar", "run", "--upstream", "payments=http://127.0.0.1:9"]
    command += ["--listen", f"127.0.0.1:{egress}", "--admin", f"127.0.0.1:{admin}"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        deadline = time.monotonic() + 30.0
        while is_free(admin):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        got = {}
        for path in (
            "runbooks/SidecarIdempotencyUnknown",
            *(f"refusals{word}" for word in ("", "/key_reused", "/reset")),
        ):
            with urllib.request.urlopen(f"http://127.0.0.1:{admin}/{path}", timeout=30) as answer:
                got[path] = answer.read().decode().splitlines()[0]
    finally:
        process.terminate()
        process.communicate(timeout=60)

    assert got == {
        "runbooks/SidecarIdempotencyUnknown": "# SidecarIdempotencyUnknown",
        "refusals/key_reused": "# key_reused",
        "refusals/reset": "# reset",
        "refusals": "# Refused: what it means and what to do",
    }


def test_every_library_that_is_imported_is_declared() -> None:
    """What another library happens to bring may go with its next version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    declared = {DISTRIBUTIONS.get(name, name) for name in map(_name, (*project["dependencies"], *extras))} | {"sidecar"}
    imported: set[str] = set()
    for path in (ROOT / "sidecar").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])

    assert imported - declared - set(sys.stdlib_module_names) == set()
    assert {DISTRIBUTIONS.get(name, name) for name in map(_name, project["dependencies"])} <= imported


@pytest.mark.parametrize(
    "file", ["deploy/ci/gate.yml", "deploy/ci/policy-check.yml", ".pre-commit-hooks.yaml", "docs/gate/README.md"]
)
def test_what_runs_the_command_installs_more_than_the_client(file: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    brought = {"retry-sidecar[proxy]", *project["optional-dependencies"]["proxy"]}

    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    (extras,) = [found[1] for line in lines if (found := re.search(r"(?:retry-sidecar|\"\.)\[(.*?)\]", line))]

    for extra in extras.split(","):
        assert set(project["optional-dependencies"][extra]) & brought, f"{file}: [{extra}] is without the command"


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=;]", requirement)[0].lower().replace("-", "_")
