"""A payment service that counts its charges, and sidecars in front of it that can be killed: real processes."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from tests.fakes.store_servers import PostgresServer, RedisServer, StoreServer, free_port
from tests.fakes.waiting import wait_until

CHARGES = Path(__file__).parents[1] / "acceptance" / "charges.py"
READY_WITHIN = 20.0


class Pod:
    """One sidecar that can be killed and started again on the same ports."""

    def __init__(
        self,
        folder: Path,
        app: int,
        store: dict[str, str],
        replicas: int,
        keeping: Mapping[str, object] | None = None,
        command: Sequence[str] = (sys.executable, "-m", "sidecar", "run"),
        **terms: object,
    ) -> None:
        """`keeping` is more of `ingress.idempotency`; `command` runs a sidecar, `terms` are of its one route."""
        folder.mkdir()
        self._command = command
        self._folder = folder
        self.admin, self.port, egress = free_port(), free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None
        document = {
            "service": "pay",
            "admin": {"listen": f"127.0.0.1:{self.admin}", "token_file": "token"},
            "egress": {"listen": [f"127.0.0.1:{egress}"]},
            "ingress": {
                "listen": f"127.0.0.1:{self.port}",
                "app": f"http://127.0.0.1:{app}",
                "idempotency": {"store": store, "replicas": replicas, "lease": "5s", **(keeping or {})},
                "routes": [
                    {"name": "pay", "match": {"methods": ["POST"], "path": "/pay"}, "class": "at_most_once", **terms}
                ],
            },
            "drain": "1s",
        }
        (folder / "token").write_text("t" * 40)
        (folder / "sidecar.yaml").write_text(json.dumps(document))

    def start(self) -> None:
        """Run it until it answers."""
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._command, "--config", "sidecar.yaml"],
                cwd=self._folder,
                stderr=log,
                stdout=log,
            )
        process = self.process
        wait_until(lambda: answers(f"http://127.0.0.1:{self.admin}/livez") or process.poll() is not None, READY_WITHIN)
        assert process.poll() is None, self.log

    @property
    def log(self) -> str:
        """What it has said."""
        return (self._folder / "log").read_text()

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`sidecar idempotency COMMAND`, as its operator would."""
        admin = ("--admin", f"http://127.0.0.1:{self.admin}", "--token-file", str(self._folder / "token"))
        words = [sys.executable, "-m", "sidecar", "idempotency", command, *arguments, *admin]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


def answers(url: str) -> bool:
    """Whether there is an answer."""
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False


@contextmanager
def payments(trouble: float, seed: int = 1) -> Iterator[int]:
    """The service: its port. `trouble` is the share of charges whose answer is lost, late or an error."""
    port = free_port()
    process = subprocess.Popen([sys.executable, str(CHARGES), str(port), str(seed), str(trouble)])
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/charges"), READY_WITHIN)
        yield port
    finally:
        process.kill()
        process.wait()


@contextmanager
def store_of(kind: str) -> Iterator[tuple[dict[str, str], StoreServer | None]]:
    """A store, as a sidecar file names it, and its server, where it has one."""
    folder = Path(tempfile.mkdtemp(prefix="sidecar-charges-"))
    server: StoreServer | None = None
    try:
        if kind == "sqlite":
            yield {"sqlite": str(folder / "keys.db")}, None
            return
        server = RedisServer(folder) if kind == "redis" else PostgresServer(folder)
        server.start()
        yield {kind: server.url}, server
    finally:
        if server is not None and server.process is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def pods(tmp_path: Path, app: int, kind: str, store: dict[str, str]) -> Iterator[list[Pod]]:
    """Sidecars with that store: two, where it can be shared."""
    count = 1 if kind == "sqlite" else 2
    running = [Pod(tmp_path / f"pod{number}", app, store, count) for number in range(count)]
    try:
        for pod in running:
            pod.start()
        yield running
    finally:
        for pod in running:
            pod.kill()


async def charge(session: aiohttp.ClientSession, port: int, order: str) -> tuple[int, str]:
    """Pay for an order, its number the key: the status, and the reason where it is a sidecar's own answer."""
    headers = {"Idempotency-Key": order}
    async with session.post(f"http://127.0.0.1:{port}/pay", json={"order": order}, headers=headers) as answer:
        content = await answer.read()
        if answer.content_type != "application/problem+json":
            return answer.status, ""
        return answer.status, json.loads(content)["reason"]


def charges_of(port: int) -> dict[str, int]:
    """Charges by order."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/charges", timeout=5) as answer:
        counts: dict[str, int] = json.load(answer)
        return counts
