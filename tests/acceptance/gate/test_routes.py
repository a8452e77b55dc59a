"""From a description to the ingress: a sidecar enforces the table that the gate writes, and drift is seen."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from click.testing import CliRunner

from sidecar.cli import main
from sidecar.governance.documents.finding import Finding
from sidecar.governance.policy.bootstrap import read_route_file
from tests.fakes.store_servers import free_port
from tests.review.descriptions import HEAD

DESCRIPTION = (
    HEAD
    + """\
servers: [{url: https://api.example/v1}]
paths:
  /payments:
    post:
      operationId: createPayment
      x-idempotency:
        {strategy: key, retention: 24h, class: at_most_once, scope: [x-tenant], ignore_fields: [/trace], wait: 2s}
      parameters: [{name: Idempotency-Key, in: header, required: true, schema: {type: string}}]
      responses: {"201": {description: a}, "409": {description: b}, "422": {description: c}}
  /payments/{id}:
    delete: {operationId: removePayment, responses: {"204": {description: Gone}}}
  /events:
    post:
      x-idempotency: {strategy: event-id, field: /id, class: best_effort}
      requestBody:
        required: true
        content: {application/json: {schema: {type: object, required: [id], properties: {id: {type: string}}}}}
      responses: {"204": {description: Taken}}
"""
)


def test_the_table_that_the_gate_writes_is_read_by_ingress(tmp_path: Path) -> None:
    (tmp_path / "api.yaml").write_text(DESCRIPTION)
    table = tmp_path / "routes.yaml"

    done = CliRunner().invoke(main, ["gate", str(tmp_path / "api.yaml"), "--emit-routes", str(table)])

    assert done.exit_code == 0, done.output
    findings: list[Finding] = []
    routes = read_route_file(table, findings)
    assert findings == []
    declared = {entry.match.path: entry for entry in routes.entries}
    assert declared["/v1/payments"].contracted
    assert declared["/v1/events"].contracted
    assert not declared["/v1/payments/{id}"].contracted
    assert declared["/v1/payments"].match.covers(b"POST", b"/v1/payments")
    assert declared["/v1/payments/{id}"].match.covers(b"DELETE", b"/v1/payments/7")


class App(BaseHTTPRequestHandler):
    """Takes every POST and DELETE."""

    def do_DELETE(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def answered(url: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(url, method=method, headers=headers, data=b"{}" if method == "POST" else None)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@contextmanager
def running(folder: Path, app: int) -> Iterator[tuple[str, str]]:
    """A sidecar with the table, by the addresses of its ingress and of its admin side."""
    admin, ingress, egress = free_port(), free_port(), free_port()
    document = {
        "service": "pay",
        "admin": {"listen": f"127.0.0.1:{admin}"},
        "egress": {"listen": [f"127.0.0.1:{egress}"]},
        "ingress": {
            "listen": f"127.0.0.1:{ingress}",
            "app": f"http://127.0.0.1:{app}",
            "idempotency": {"store": {"sqlite": "keys.db"}},
            "routes": {"file": "routes.yaml"},
        },
    }
    (folder / "sidecar.yaml").write_text(json.dumps(document))
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "sidecar", "run", "--config", "sidecar.yaml"]
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                answered(f"http://127.0.0.1:{admin}/livez")
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield f"http://127.0.0.1:{ingress}", f"http://127.0.0.1:{admin}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_what_no_description_declares_is_seen_in_the_metric_the_log_and_on_the_page(tmp_path: Path) -> None:
    (tmp_path / "api.yaml").write_text(DESCRIPTION)
    done = CliRunner().invoke(
        main, ["gate", str(tmp_path / "api.yaml"), "--emit-routes", str(tmp_path / "routes.yaml")]
    )
    assert done.exit_code == 0
    app = ThreadingHTTPServer(("127.0.0.1", 0), App)
    Thread(target=app.serve_forever, daemon=True).start()

    with running(tmp_path, app.server_port) as (ingress, admin):
        first = answered(f"{ingress}/v1/payments", "POST", **{"Idempotency-Key": "k-0123456789abcdef", "x-tenant": "t"})
        without = answered(f"{ingress}/v1/payments", "POST", **{"x-tenant": "t"})
        declared = answered(f"{ingress}/v1/payments/7", "DELETE")
        unknown = [answered(f"{ingress}/v1/refunds?x=1", "POST") for _ in range(3)]
        metrics = answered(f"{admin}/metrics")[1]
        page = json.loads(answered(f"{admin}/?format=json")[1])
    app.shutdown()
    app.server_close()

    assert (first[0], declared[0], [status for status, _ in unknown]) == (201, 201, [201, 201, 201])
    assert without[0] == 400
    assert "key_missing" in without[1]
    assert 'sidecar_ingress_undeclared_total{method="POST"} 3' in metrics
    assert 'sidecar_ingress_undeclared_total{method="DELETE"} 0' in metrics
    assert page["undeclared"] == {"POST": 3}
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if "request_undeclared" in line]
    assert [(line["method"], line["path"], line["requests"]) for line in lines] == [("POST", "/v1/refunds", 1)]
