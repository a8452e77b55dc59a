"""A pod as a kubelet would run it, in a network namespace of its own: `python -m tests.acceptance.injected_pod FILE`.

The file has the pod's specification, as JSON. The sidecar's container is started by its own args and variables, its
probes and hooks are obeyed, and then the application's variable is called. What came of it is printed, as JSON.
"""

import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

SIOCSIFFLAGS, IFF_UP = 0x8914, 1  # netdevice(7)
NAME = "retry-sidecar"
DEPENDENCY = ("127.0.0.1", 8080)


class Flaky(BaseHTTPRequestHandler):
    """A dependency that fails each path once."""

    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        status = 200 if self.path in self.seen else 503
        self.seen.append(self.path)
        body = self.path.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: standard error is the sidecar's."""


def variables(container: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "pod-1") for entry in container.get("env", [])}


def get(url: str, **headers: str) -> tuple[int, str, str | None]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            return answer.status, answer.read().decode(), answer.headers.get("x-sidecar-attempts")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers.get("x-sidecar-attempts")
    except OSError as error:
        return 0, str(error), None


def probed(probe: dict[str, Any]) -> int:
    """Look as often and as long as the probe says; how it was answered last."""
    asked = probe["httpGet"]
    for _ in range(probe["failureThreshold"]):
        status, _, _ = get(f"http://127.0.0.1:{asked['port']}{asked['path']}")
        if status == 200:
            return status
        time.sleep(probe["periodSeconds"])
    return status


def loopback_up() -> None:
    """A new network namespace has its loopback interface down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def main(file: str) -> None:
    loopback_up()
    spec = json.loads(Path(file).read_text())
    containers = {each["name"]: each for key in ("initContainers", "containers") for each in spec.get(key) or []}
    sidecar, app = containers[NAME], variables(containers["app"])
    threading.Thread(target=ThreadingHTTPServer(DEPENDENCY, Flaky).serve_forever, daemon=True).start()
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **variables(sidecar)}
    process = subprocess.Popen(["sidecar", *sidecar["args"]], env=environment)
    try:
        started = sidecar.get("lifecycle", {}).get("postStart", {}).get("exec", {}).get("command")
        held = subprocess.run(started, env=environment, timeout=60, check=False).returncode if started else 0
        result = {
            "post_start": held,
            "startup": probed(sidecar["startupProbe"]),
            "live": probed(sidecar["livenessProbe"]),
            "called": get(f"{app['PAYMENTS_URL']}/charges"),
            "by_host": get("http://127.0.0.1:16001/v1/charges", Host="payments"),
            "unknown_host": get("http://127.0.0.1:16001/", Host="ledger")[0],
            "service": '"service": "checkout"' in get("http://127.0.0.1:16000/policy")[1],
        }
        process.send_signal(signal.SIGTERM)
        result["exit"] = process.wait(10)
    finally:
        process.kill()
    print(json.dumps(result))  # noqa: T201 - its result


if __name__ == "__main__":
    main(sys.argv[1])
