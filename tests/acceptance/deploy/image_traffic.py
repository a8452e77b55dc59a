"""Runs inside the built image: starts its command as the engine would, and sends it a request.

Arguments: the command, and the HEALTHCHECK, as JSON lists. Prints what was seen as JSON.
"""

import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Upstream(BaseHTTPRequestHandler):
    """Answers every request alike."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Nothing: stderr is the sidecar's."""


def asked(host: str, port: int) -> tuple[int, str | None]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/", headers={"Host": host})
    answer = connection.getresponse()
    return answer.status, answer.getheader("x-sidecar-attempts")


def exit_code(command: list[str]) -> int:
    return subprocess.run(command, check=False, capture_output=True).returncode


def main() -> None:
    command, health = map(json.loads, sys.argv[1:])
    server = ThreadingHTTPServer(("127.0.0.1", 9001), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    health_before = exit_code(health)
    process = subprocess.Popen(command)
    until = time.monotonic() + 30
    while (
        health_after := subprocess.run(health, check=False, capture_output=True).returncode
    ) and time.monotonic() < until:
        time.sleep(0.1)
    seen = {"uid": os.getuid(), "health_before": health_before, "health_after": health_after}
    seen["answer"] = asked("payments", 16001)
    try:
        pathlib.Path("/opt/sidecar/written").touch()
        seen["written"] = True
    except OSError as error:
        seen["written"] = error.strerror
    process.send_signal(signal.SIGTERM)
    seen["exit_code"] = process.wait(30)
    sys.stdout.write(f"{json.dumps(seen)}\n")


if __name__ == "__main__":
    main()
