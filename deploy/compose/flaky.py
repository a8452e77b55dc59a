"""A dependency that blips: a fifth of the answers are 503, all of them for ten seconds of every minute."""

import contextlib
import random
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Flaky(BaseHTTPRequestHandler):
    """Answers by the second of the minute."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """503 or 200."""
        blip = time.time() % 60 < 10
        status = 503 if blip or random.random() < 0.2 else 200
        body = b"busy\n" if status == 503 else b"paid\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: there are many."""


class Server(ThreadingHTTPServer):
    """Says nothing of connections that a caller resets: idle ones are closed when it ends."""

    def handle_error(self, *_: object) -> None:
        """Print what is not a reset."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*_)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        Server(("0.0.0.0", 8080), Flaky).serve_forever()
