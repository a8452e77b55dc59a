"""Redis and PostgreSQL as Debian has them, each in a process of the test's own that can be killed and started again."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.fakes.waiting import wait_until

STARTS_WITHIN = 20.0
_POSTGRES = Path("/usr/lib/postgresql")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


class StoreServer:
    """A server process. `url` is for whoever connects to it."""

    url = ""

    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What is run."""
        raise NotImplementedError

    def start(self) -> None:
        """Run it until it answers."""
        self.process = subprocess.Popen(
            self.command(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=self._leave_root,
            env=self.environment(),
            start_new_session=True,
        )
        wait_until(lambda: self.answers() or self.process.poll() is not None, STARTS_WITHIN)
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.command()[0]} did not start")

    def environment(self) -> Mapping[str, str]:
        """Of the process."""
        return os.environ

    def answers(self) -> bool:
        """Whether it can be asked."""
        raise NotImplementedError

    def kill(self) -> None:
        """kill -9, its children too."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it, for good."""
        if self.process is not None:
            self._signal(signal.SIGCONT)
            self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it answer nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        # Children of PostgreSQL lead process groups of their own.
        children = (
            Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii").split()
        )
        for pid in (self.process.pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self._signal(number)
        self.process.wait()
        self.process = None

    def _leave_root(self) -> None:
        """Only PostgreSQL minds who runs it."""


class RedisServer(StoreServer):
    """redis-server with an append-only file that is synced for every command, unless told otherwise."""

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__()
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._options = options or ("--appendonly", "yes", "--appendfsync", "always")
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        """See StoreServer."""
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        assert program is not None, "redis-server is missing: see .ci/packages"
        place = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", "")
        return [program, *place, *self._options]

    def answers(self) -> bool:
        """See StoreServer."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as sock:
                sock.settimeout(1)
                sock.sendall(b"PING\r\n")
                return sock.recv(16).startswith(b"+PONG")
        except OSError:
            return False


class PostgresServer(StoreServer):
    """PostgreSQL with a cluster of its own in `folder`, which others than root must be able to reach.

    It refuses to be root, so that it runs as somebody else where we are.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._data = folder / "cluster"
        self.settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "shared_buffers": "16MB"}
        self._programs = max(_POSTGRES.glob("*/bin"), key=lambda path: float(path.parent.name), default=None)
        assert self._programs is not None, "postgresql is missing: see .ci/packages"
        self._user = pwd.getpwnam("postgres" if _has_user("postgres") else "nobody") if os.geteuid() == 0 else None
        folder.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        subprocess.run(
            [
                str(self._programs / "initdb"),
                "-D",
                str(self._data),
                "-U",
                "sidecar",
                "-A",
                "trust",
                "--no-sync",
                "-E",
                "UTF8",
            ],
            check=True,
            capture_output=True,
            preexec_fn=self._leave_root,
            env=self.environment(),
            cwd=folder,
        )
        self.url = f"postgresql://sidecar@127.0.0.1:{self.port}/postgres"

    def environment(self) -> Mapping[str, str]:
        """See StoreServer."""
        return {"PATH": os.environ["PATH"], "LC_ALL": "C"}

    def command(self) -> list[str]:
        """See StoreServer."""
        chosen = [word for name, value in self.settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port), *chosen]

    def start(self) -> None:
        """See StoreServer. What a killed one left behind is taken away first."""
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        super().start()

    def answers(self) -> bool:
        """See StoreServer."""
        ready = subprocess.run(
            [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "sidecar"],
            check=False,
        )
        return ready.returncode == 0

    def _leave_root(self) -> None:
        if self._user is not None:
            os.setgid(self._user.pw_gid)
            os.setuid(self._user.pw_uid)


def _has_user(name: str) -> bool:
    return any(entry.pw_name == name for entry in pwd.getpwall())
