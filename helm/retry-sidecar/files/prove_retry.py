"""What `helm test` runs: a dependency fails once, and the answer through the sidecar is the second attempt's.

With SIDECAR_IS_INJECTED the sidecar is the one that the webhook put into this pod; otherwise it is started here.
"""

import http.client
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WAIT_SECONDS = 30.0
EGRESS = ("127.0.0.1", 16001)


class FailsOnce(BaseHTTPRequestHandler):
    """503 to the first request, 200 to those after it."""

    protocol_version = "HTTP/1.1"
    requests = 0

    def do_GET(self) -> None:
        """Answer, and count."""
        type(self).requests += 1
        body = b"the first one fails\n" if self.requests == 1 else b"well\n"
        self.send_response(503 if self.requests == 1 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def ask() -> tuple[int, str, str]:
    """One request through the sidecar: its status, its attempts, why a retry was refused."""
    connection = http.client.HTTPConnection(*EGRESS, timeout=10)
    connection.request("GET", "/", headers={"Host": "flaky"})
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.getheader("x-sidecar-attempts", ""), answer.getheader("x-sidecar-refusal", "")


def ask_when_it_listens() -> tuple[int, str, str]:
    """Wait for the sidecar, then ask once."""
    give_up_at = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return ask()
        except ConnectionRefusedError:
            if time.monotonic() > give_up_at:
                sys.exit(
                    f"FAILED: no sidecar listens on {EGRESS[0]}:{EGRESS[1]}. Was it injected? See the webhook's log."
                )
            time.sleep(0.2)


def main() -> None:
    """Exit code 0 when the retry was seen at both ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 8080), FailsOnce)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    own = None
    if not os.environ.get("SIDECAR_IS_INJECTED"):
        own = subprocess.Popen(["sidecar", "run", "--upstream", "flaky=http://127.0.0.1:8080"])
    try:
        status, attempts, refusal = ask_when_it_listens()
    finally:
        if own:
            own.terminate()
            own.wait(30)
    seen = f"answered {status} after {attempts or 'no'} attempts; the dependency saw {FailsOnce.requests} requests"
    if (status, attempts, FailsOnce.requests) != (200, "2", 2):
        sys.exit(f"FAILED: {seen}" + (f"; the retry was refused: {refusal}" if refusal else ""))
    print(f"one retry: {seen}")


if __name__ == "__main__":
    main()
