"""Runs in the place of the webhook's pod: starts its command, and asks as the API server does.

Arguments: the command as JSON, the port, the server's name. The authority and the review come as JSON on standard
input; the answer is printed.
"""

import http.client
import json
import socket
import ssl
import subprocess
import sys
import time


class NamedConnection(http.client.HTTPSConnection):
    """TLS to 127.0.0.1 for the name that the API server asks for."""

    def connect(self) -> None:
        """Show the name of the Service instead of the address."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        self.sock = self.context.wrap_socket(plain, server_hostname=self.host)

    context: ssl.SSLContext


def asked(host: str, port: int, authority: str, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    connection = NamedConnection(host, port, timeout=10)
    connection.context = ssl.create_default_context(cadata=authority)
    connection.request(method, path, body or None, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def main() -> None:
    command, port, host = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    given = json.load(sys.stdin)
    process = subprocess.Popen(command)
    for _ in range(300):
        try:
            status, _ = asked(host, port, given["authority"], "GET", "/readyz")
        except ConnectionError:
            status = 0
        if status == 200:
            break
        time.sleep(0.1)
    status, body = asked(host, port, given["authority"], "POST", "/mutate", json.dumps(given["review"]).encode())
    process.terminate()
    code = process.wait(30)
    sys.stdout.write(json.dumps({"status": status, "answer": json.loads(body), "exit_code": code}))


if __name__ == "__main__":
    main()
