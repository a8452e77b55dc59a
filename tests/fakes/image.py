"""The Dockerfile, built without a container engine: each stage is a folder, its commands run with it as their root.

The base image is the machine's own Python and system folders, read-only; all else is as the file says. It takes what
this Dockerfile uses and refuses the rest, so that an instruction it does not know cannot go untested.
"""

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess

from tests.fakes.sandbox import in_sandbox

MOUNTED = (
    *("/usr", "/bin", "/lib", "/lib64"),
    *("/etc/ssl", "/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf"),
    sys.base_prefix,
)
"""What the base image is made of."""
BASE_PATH = "/base/bin:/usr/local/bin:/usr/bin:/bin"


@dataclass
class Stage:
    """One stage: its folder, and what its instructions have set so far."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": BASE_PATH})
    arguments: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    ports: list[int] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def run(self, command: Sequence[str], *options: str | Path, within: float = 60.0) -> CompletedProcess[str]:
        """Run it in the finished image: as its user, with no capability, no network and a root that is read-only."""
        uid, gid = self.user.split(":")
        places = ["--unshare-user", "--uid", uid, "--gid", gid, "--cap-drop", "ALL", "--chdir", self.folder]
        options = (*_system(), *places, *options)
        return in_sandbox(command, *options, root=self.root, environment=self.environment, tmp=False, within=within)


def build(context: Path, folder: Path, **given: str) -> dict[str, Stage]:
    """Build the stages of `context`/Dockerfile by name, the last one as `last`; `given` are --build-arg."""
    stages: dict[str, Stage] = {}
    common: dict[str, str] = {}
    stage: Stage | None = None
    for word, rest in instructions((context / "Dockerfile").read_text(encoding="utf-8")):
        if word == "FROM":
            _, _, name = rest.partition(" AS ")
            name = name or "last"
            stage = stages[name] = Stage(_fresh(folder / name))
        elif stage is None:
            assert word == "ARG", f"{word} before FROM"
            name, _, default = rest.partition("=")
            common[name] = given.get(name, default)
        else:
            _follow(stage, word, rest, {**common, **given}, context, stages)
    return stages


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions in order, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined if line.strip())]


def _follow(
    stage: Stage, word: str, rest: str, given: Mapping[str, str], context: Path, stages: Mapping[str, Stage]
) -> None:
    known = {**stage.arguments, **stage.environment}
    value = re.sub(r"\$\{?(\w+)\}?", lambda found: known.get(found[1], ""), rest)
    match word:
        case "ARG":
            name, _, default = rest.partition("=")
            stage.arguments[name] = given.get(name, default)
        case "ENV":
            stage.environment |= dict(pair.split("=", 1) for pair in shlex.split(value))
        case "LABEL":
            stage.labels |= dict(pair.split("=", 1) for pair in shlex.split(value))
        case "WORKDIR":
            stage.folder = value
            (stage.root / value.lstrip("/")).mkdir(parents=True, exist_ok=True)
        case "COPY":
            _copy(stage, shlex.split(value), context, stages)
        case "RUN":
            execute(stage, rest)
        case "USER":
            stage.user = value
        case "EXPOSE":
            stage.ports = [int(port) for port in value.split()]
        case "HEALTHCHECK":
            stage.health = json.loads(value.partition("CMD ")[2])
        case "ENTRYPOINT":
            stage.entrypoint = json.loads(value)
        case "CMD":
            stage.command = json.loads(value)
        case "STOPSIGNAL":
            assert value == "SIGTERM"
        case _:
            raise NotImplementedError(f"{word}: the tests do not know how to build this")


def _copy(stage: Stage, words: list[str], context: Path, stages: Mapping[str, Stage]) -> None:
    source = context
    if words[0].startswith("--from="):
        source = stages[words.pop(0).removeprefix("--from=")].root
    *names, target = words
    place = stage.root / (target if target.startswith("/") else f"{stage.folder}/{target}").lstrip("/")
    unwanted = shutil.ignore_patterns("__pycache__") if source is context else None  # as .dockerignore says
    for name in names:
        original = source / name.lstrip("/")
        if source is context:
            assert not ignored(context, name), f"COPY {name}: .dockerignore leaves it out"
        if original.is_dir():
            shutil.copytree(original, place, symlinks=True, ignore=unwanted)
        else:
            into = place / original.name if len(names) > 1 or target.endswith("/") else place
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(original, into)


def ignored(context: Path, name: str) -> bool:
    """Whether .dockerignore keeps a path of the build's context away; the last line that fits it counts."""
    kept_away = False
    for line in (context / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line:
            continue
        pattern = line.removeprefix("!")
        if pattern in {"*", name} or name.startswith(f"{pattern}/"):
            kept_away = not line.startswith("!")
    return kept_away


def execute(stage: Stage, command: str) -> None:
    """RUN the command in the stage. Wheels may come from the user's cache of pip: the lock's hashes hold either way."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pip"
    cache.mkdir(parents=True, exist_ok=True)
    environment = {
        **stage.environment,
        **stage.arguments,
        "PIP_CACHE_DIR": "/cache",
        "HOME": "/",
        "PIP_NO_CACHE_DIR": "0",
    }
    environment |= {
        name: value for name, value in os.environ.items() if name.startswith("PIP_") and name not in environment
    }
    places = [*_system(), "--bind", cache, "/cache", "--chdir", stage.folder, "--share-net"]
    shell = ["sh", "-ec", command]
    ran = in_sandbox(shell, *places, root=stage.root, writable=True, tmp=False, environment=environment, within=300)
    assert ran.returncode == 0, f"RUN {command}\n{ran.stdout}{ran.stderr}"


def _fresh(root: Path) -> Path:
    """The base image: nothing but the folders into which the machine's own are mounted, and a `python`."""
    for name in (*MOUNTED, "/cache", "/dev", "/proc", "/tmp", "/etc/sidecar"):
        original = Path(name)
        place = root / name.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if original.is_symlink() or not original.exists() or original.is_dir():
            place.mkdir(exist_ok=True)
        else:
            place.touch()
    python = root / "base/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys._base_executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    return root


def _system() -> list[str]:
    return [word for name in MOUNTED if Path(name).exists() for word in ("--ro-bind", name, name)]
