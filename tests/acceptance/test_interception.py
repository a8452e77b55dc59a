"""Transparent interception as a pod has it: real rules, real curl, the sidecar under a user of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.fakes.network import PEER, PEER6, Network, network

SIDECAR_UID = 65532

_PEER = f"""
import asyncio, sys
async def http(reader, writer):
    seen = []
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            host = next((l for l in head.decode().split("\\r\\n") if l.lower().startswith("host:")), "host: none")
            port = writer.get_extra_info("sockname")[1]
            attempt = b"x-retry-attempt: " in head.lower()
            if b"GET /once" in head and not attempt:
                writer.write(b"HTTP/1.1 503 No\\r\\nContent-Length: 0\\r\\n\\r\\n")
                continue
            body = f"{{port}} {{host.lower()}}".encode()
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%b" % (len(body), body))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def echo(reader, writer):
    while data := await reader.read(100):
        writer.write(data.upper())
    writer.close()
async def main():
    servers = [await asyncio.start_server(http, host, port) for host in ("{PEER}", "{PEER6}") for port in (80, 8080)]
    servers.append(await asyncio.start_server(echo, "{PEER}", 9999))
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""

_CONFIG = f"""\
service: checkout
egress: {{transparent: {{}}}}
destinations:
  payments: {{endpoints: ["http://{PEER}:80"]}}
  ledger: {{endpoints: ["http://[{PEER6}]:80"]}}
"""


class Pod:
    """A service whose calls to 80, 8080 and 9999 are intercepted, beside a machine that answers on each."""

    def __init__(self, wires: Network, log: Path) -> None:
        self._wires = wires
        self.log = log

    def curl(self, *arguments: str) -> str:
        """What curl prints, run as root in the pod."""
        command = self._wires.inside(self._wires.pod, "curl", "-sS", "-i", "-m", "10", *arguments)
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return done.stdout + done.stderr

    def python(self, script: str) -> str:
        """What a program of the service prints."""
        command = self._wires.inside(self._wires.pod, sys.executable, "-c", script)
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout

    def intercept(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`sidecar intercept` in the pod."""
        command = self._wires.inside(self._wires.pod, sys.executable, "-m", "sidecar", "intercept", *arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    def metric(self, name: str, **labels: str) -> float:
        """A number of the sidecar."""
        text = self.curl("http://127.0.0.1:16000/metrics")
        wanted = "".join(f'(?=[^}}]*{key}="{value}")' for key, value in labels.items())
        found = re.search(rf"^{name}{{?{wanted}[^ ]* ([0-9.e+-]+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0


def as_user(uid: int) -> list[str]:
    """Runs a command as another user, who may read the checkout and the interpreter though they may be root's alone."""
    reading = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
    return ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", *reading]


@contextmanager
def started(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def await_text(log: Path, text: str) -> None:
    until = time.monotonic() + 30
    while text not in log.read_text(encoding="utf-8"):
        assert time.monotonic() < until, log.read_text(encoding="utf-8")
        time.sleep(0.05)


@contextmanager
def pod_with(tmp_path: Path, config: str, *, uid: int = SIDECAR_UID) -> Iterator[Pod]:
    """`uid` is that as which the sidecar runs."""
    with ExitStack() as stack:
        readable = Path(stack.enter_context(tempfile.TemporaryDirectory()))  # pytest's own folders are root's alone
        readable.chmod(0o755)
        file = readable / "sidecar.yaml"
        file.write_text(config, encoding="utf-8")
        wires = stack.enter_context(network())
        peer_log, log = tmp_path / "peer.log", tmp_path / "sidecar.log"
        stack.enter_context(started(wires.inside(wires.peer, sys.executable, "-c", _PEER), peer_log))
        run = [*as_user(uid), sys.executable, "-m", "sidecar", "run", "--config", str(file)]
        stack.enter_context(started(wires.inside(wires.pod, *run, "--log-format", "json"), log))
        await_text(peer_log, "ready")
        await_text(log, '"event":"start"')
        made = Pod(wires, log)
        for address in (PEER, f"[{PEER6}]"):  # a new wire takes its time until neighbours find each other
            answer = made.curl("--retry", "20", "--retry-all-errors", "--retry-delay", "1", f"http://{address}:8080/")
            assert "200 OK" in answer, answer
        yield made


@pytest.fixture(scope="module", params=["nft", "netlink"])
def pod(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    """By the tool, and as in the image, which has none."""
    with pod_with(tmp_path_factory.mktemp("pod"), _CONFIG) as made:
        done = made.intercept("--ports", "80,8080,9999", "--uid", str(SIDECAR_UID), "--backend", request.param)
        assert done.returncode == 0, done.stderr
        yield made


def test_a_call_that_fails_is_retried_without_the_caller_knowing(pod: Pod) -> None:
    answer = pod.curl(f"http://{PEER}/once")

    assert answer.startswith("HTTP/1.1 200 OK")
    assert "x-sidecar-attempts: 2" in answer


@pytest.mark.parametrize("address", [PEER, f"[{PEER6}]"])
def test_a_call_to_the_address_of_a_destination_is_governed(pod: Pod, address: str) -> None:
    answer = pod.curl(f"http://{address}/")

    assert "x-sidecar-attempts: 1" in answer
    assert f"80 host: {address}" in answer


def test_a_host_leads_to_its_destination_wherever_the_connection_was_going(pod: Pod) -> None:
    answer = pod.curl("-H", "Host: payments", f"http://{PEER}:8080/")

    assert answer.endswith("80 host: payments")


@pytest.mark.parametrize("address", [PEER, f"[{PEER6}]"])
def test_an_unknown_host_goes_where_it_was_going_as_unlisted(pod: Pod, address: str) -> None:
    before = pod.metric("sidecar_requests_total", destination="unlisted", outcome="success")

    answer = pod.curl("-H", "Host: elsewhere.example", f"http://{address}:8080/")

    assert answer.endswith("8080 host: elsewhere.example")
    assert pod.metric("sidecar_requests_total", destination="unlisted", outcome="success") == before + 1


def test_tls_and_other_protocols_are_passed_on_and_counted(pod: Pod) -> None:
    script = (
        "import socket\n"
        f"for early in (b'\\x16\\x03\\x01', b'*1'):\n"
        f"    with socket.create_connection(('{PEER}', 9999), 10) as s:\n"
        "        s.sendall(early + b'abc'); print(s.recv(100))\n"
    )

    assert pod.python(script).split() == [repr(b"\x16\x03\x01ABC"), repr(b"*1ABC")]
    assert pod.metric("sidecar_intercepted_connections_total", outcome="tls") == 1
    assert pod.metric("sidecar_intercepted_connections_total", outcome="opaque") == 1
    assert pod.metric("sidecar_tunnels_total") == 2


def test_a_connection_to_the_listener_itself_is_refused_as_a_loop(pod: Pod) -> None:
    answer = pod.curl("http://127.0.0.1:16007/")

    assert answer.startswith("HTTP/1.1 508 ")
    assert json.loads(answer.splitlines()[-1])["reason"] == "loop"


def test_loopback_is_nobodys_egress(pod: Pod) -> None:
    answer = pod.curl("http://127.0.0.1:80/")

    assert "Failed to connect" in answer or "Couldn't connect" in answer


def test_written_twice_the_rules_are_there_once_and_taken_out_they_are_gone(tmp_path: Path) -> None:
    with pod_with(tmp_path, _CONFIG) as pod:
        for _ in range(2):
            assert pod.intercept("--ports", "80").returncode == 0
        governed = pod.curl(f"http://{PEER}/")
        removed = [pod.intercept("--remove").returncode for _ in range(2)]
        direct = pod.curl(f"http://{PEER}/")

    assert "x-sidecar-attempts: 1" in governed
    assert removed == [0, 0]
    assert direct.startswith("HTTP/1.1 200 ")
    assert "x-sidecar" not in direct


def test_iptables_does_the_same_where_there_is_no_nft(tmp_path: Path) -> None:
    with pod_with(tmp_path, _CONFIG) as pod:
        done = pod.intercept("--ports", "80", "--backend", "iptables")
        answers = [pod.curl(f"http://{address}/") for address in (PEER, f"[{PEER6}]")]

    assert done.returncode == 0, done.stderr
    assert all("x-sidecar-attempts: 1" in answer for answer in answers)


def test_rules_that_leave_out_another_user_are_told_and_end_in_no_circle(tmp_path: Path) -> None:
    with pod_with(tmp_path, _CONFIG) as pod:
        pod.intercept("--ports", "80", "--uid", "4711")
        answer = pod.curl(f"http://{PEER}/")

    assert answer.startswith("HTTP/1.1 508 ")
    assert f"do not leave out uid {SIDECAR_UID}" in answer
