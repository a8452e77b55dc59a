"""The real command in a process of its own, on ports that the system chose."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.waiting import wait_until

READY_WITHIN = 15.0
ENDS_WITHIN = 15.0
COMMAND = (sys.executable, "-m", "sidecar")


@dataclass
class Running:
    """One sidecar. `url` is the own port of its first destination, `egress` the shared one."""

    process: subprocess.Popen[bytes]
    log: Path
    admin: str
    url: str
    egress: str
    token_file: str

    @property
    def bearer(self) -> dict[str, str]:
        """What the admin plane asks of those who change something."""
        return {"Authorization": f"Bearer {Path(self.token_file).read_text().strip()}"}

    def get(self, path: str) -> str:
        """What the admin plane says."""
        with urllib.request.urlopen(self.admin + path, timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The lines of its log about one kind of event."""
        return [line for line in map(json.loads, self.log.read_text().splitlines()) if line["event"] == event]


@contextmanager
def running(
    folder: Path,
    destinations: Mapping[str, object],
    policy: Mapping[str, object] | None = None,
    *,
    command: Sequence[str] = COMMAND,
    environment: Mapping[str, str] | None = None,
    **document: object,
) -> Iterator[Running]:
    """Run it until the end of the block; it must then end well by SIGTERM.

    `policy` is the policy document less version and owner, `document` more of the sidecar file. Destinations that name
    no port of their own get one from the system.
    """
    (folder / "policy.yaml").write_text(json.dumps({"version": 1, "owner": "platform", **(policy or {})}))
    (folder / "sidecar.yaml").write_text(
        json.dumps(
            {
                "service": "checkout",
                "admin": {"listen": "127.0.0.1:0"},
                "policy": {"file": "policy.yaml"},
                "egress": {"listen": ["127.0.0.2:0"]},  # an address of its own: port 0 twice would be one listener
                "destinations": {
                    name: {"listen": "127.0.0.1:0", **entry}  # type: ignore[dict-item]
                    for name, entry in destinations.items()
                },
                **document,
            }
        )
    )
    log = folder / "log.jsonl"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [*command, "run", "--config", str(folder / "sidecar.yaml")], stderr=stderr, env=environment
        )
    try:
        start = _start_line(process, log)
        yield Running(process, log, start["admin"], start["listen"][0], start["listen"][-1], start["admin_token_file"])
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    assert code == 0, log.read_text()


def _start_line(process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def started_or_ended() -> bool:
        ended = process.poll() is not None
        for line in log.read_text().splitlines(keepends=True):
            if line.endswith("\n") and (entry := json.loads(line))["event"] == "start":
                found.update(entry)
        return ended or bool(found)

    wait_until(started_or_ended, READY_WITHIN)
    assert found, f"it never started: {log.read_text()}"
    return found
