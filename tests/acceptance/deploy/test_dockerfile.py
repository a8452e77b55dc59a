"""The Dockerfile: linted, built without an engine, and its result run as the user and with the root of a pod."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import sidecar
from tests.fakes.image import Stage, build, execute
from tests.fakes.image import ignored as kept_away

ROOT = Path(__file__).parents[3]
TRAFFIC = Path(__file__).parent / "image_traffic.py"
PAGES = "from sidecar.admin.documentation import Documentation; pages = Documentation()"
SIDECAR_FILE = 'service: checkout\ndestinations: {payments: {endpoints: ["http://127.0.0.1:9001"]}}\n'


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Stage]:
    return build(ROOT, tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def image(stages: Mapping[str, Stage]) -> Stage:
    return stages["last"]


def files_of(image: Stage) -> Iterator[Path]:
    return (path for path in (image.root / "opt/sidecar").rglob("*") if path.is_file() and not path.is_symlink())


def test_the_linter_of_dockerfiles_finds_nothing() -> None:
    linted = subprocess.run(
        [Path(sys.executable).parent / "hadolint", ROOT / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (linted.returncode, linted.stdout) == (0, "")


def test_it_is_ready_answers_and_drains_as_another_user_on_a_read_only_root(image: Stage, tmp_path: Path) -> None:
    (tmp_path / "sidecar.yaml").write_text(SIDECAR_FILE, encoding="utf-8")
    shutil.copy(TRAFFIC, tmp_path)
    command = json.dumps([*image.entrypoint, *image.command])

    ran = image.run(
        ["python", f"/etc/sidecar/{TRAFFIC.name}", command, json.dumps(image.health)],
        *("--ro-bind", tmp_path, "/etc/sidecar"),
    )

    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout.splitlines()[-1])
    assert seen == {
        "uid": 65532,
        "health_before": 2,
        "health_after": 0,
        "answer": [200, "1"],
        "written": "Read-only file system",
        "exit_code": 0,
    }
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["sidecar", "--version"], sidecar.__version__),
        (["sidecar", "gate", "--help"], "Usage: sidecar gate"),
        (["python", "-c", f"{PAGES}; print(pages.runbook('README'))"], "# Runbooks"),
        (["python", "-c", f"{PAGES}; print(pages.refusal('key_reused'))"], "# key_reused"),
        (["python", "-c", "import redis, psycopg, cryptography, opentelemetry.sdk, referencing; print('all')"], "all"),
    ],
    ids=["the version", "the gate", "the runbooks", "the refusals", "the extras"],
)
def test_it_has_what_its_commands_need(image: Stage, command: list[str], said: str) -> None:
    ran = image.run(command)

    assert ran.returncode == 0, ran.stderr
    assert said in ran.stdout


def test_nothing_that_installs_or_builds_is_in_it(image: Stage) -> None:
    tools = ("pip", "setuptools", "hatchling", "wheel", "build", "pytest", "ruff")

    ran = image.run(["python", "-c", f"import importlib.util as u; print([t for t in {tools} if u.find_spec(t)])"])

    assert ran.stdout == "[]\n", ran.stderr
    assert not (image.root / "tools").exists()
    assert not (image.root / "wheels").exists()


def test_everything_is_compiled_since_a_read_only_root_could_not_keep_it(image: Stage) -> None:
    sources = [path for path in files_of(image) if path.suffix == ".py"]

    tag = sys.implementation.cache_tag
    uncompiled = [path for path in sources if not (path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc").exists()]

    assert len(sources) > 500
    assert uncompiled == []


def test_the_same_locks_and_sources_are_the_same_image(stages: Mapping[str, Stage]) -> None:
    flags = {path.read_bytes()[4:8] for path in files_of(stages["last"]) if path.suffix == ".pyc"}

    execute(stages["build"], "/tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /again .")

    assert flags == {b"\1\0\0\0"}, "compiled files with the time of their source in them (PEP 552)"
    digests = [
        [hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in (stages["build"].root / folder).glob("*.whl")]
        for folder in ("wheels", "again")
    ]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 1


def test_its_labels_say_all_that_oci_asks_and_its_version_is_the_sidecars(image: Stage) -> None:
    prefix = "org.opencontainers.image."
    asked = "title description authors vendor licenses url source documentation base.name version revision created"

    assert {name.removeprefix(prefix) for name in image.labels} == set(asked.split())
    assert image.labels[f"{prefix}version"] == sidecar.__version__
    assert all(image.labels.values())


def test_it_exposes_every_port_that_the_readme_names(image: Stage) -> None:
    ports = (ROOT / "README.md").read_text(encoding="utf-8").partition("**Ports.**")[2].partition("\n\n**")[0]

    named = {int(port) for port in re.findall(r":(16\d{3})\b", ports)}

    assert len(named) >= 4
    assert named <= set(image.ports)


def test_the_builds_context_is_what_is_copied_and_nothing_secret() -> None:
    assert not kept_away(ROOT, "sidecar/app/build.py")
    assert all(kept_away(ROOT, name) for name in (".git", ".venv", "tests", "config/policy.yaml", "Dockerfile"))


def test_the_readme_says_how_large_it_is(image: Stage) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    said = re.search(r"The image adds (\d+) MB", readme)
    assert said is not None

    megabytes = sum(path.stat().st_size for path in files_of(image)) / 1e6

    assert megabytes == pytest.approx(float(said[1]), rel=0.1)
