"""docs/troubleshooting.md: each command on it is run, where the symptom is that its section is about.

Each scene has a network namespace of its own, so that the page's ports, the default ones, are free. What asks a cluster
is run by the real kubectl against a small API server.
"""

import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sidecar.doctor.diagnosis import WORDS, Mark
from tests.fakes.api_server import answers, api_server
from tests.fakes.certificates import certificate, write_pair
from tests.fakes.helm import ROOT, program

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent
POLICY: dict[str, Any] = {"version": 1, "owner": "platform"}
PAYMENTS: dict[str, Any] = {"endpoints": ["http://127.0.0.1:9001"], "listen": "127.0.0.1:16101"}

ORIGIN = """
import http.server, sys
class View(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[1])); self.send_header("Content-Length", "0"); self.end_headers()
    do_OPTIONS = do_GET
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", 9001), View).serve_forever()
"""
HELD = """
import socket, time
held = socket.create_server(("127.0.0.1", 16101)); time.sleep(300)
"""
PAST = """
import encodings.idna, os, socket, time
os.setuid(1000)
straight = socket.socket()
straight.connect(("127.0.0.1", 9001)); time.sleep(300)
"""


def sections() -> dict[str, list[str]]:
    """The commands by section; lines of one block are commands of their own."""
    found: dict[str, list[str]] = {}
    for title, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL):
        blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        if blocks:
            found[title] = "".join(blocks).splitlines()
    return found


@dataclass(frozen=True)
class Scene:
    """A symptom, and what each command of its section has to show, in their order."""

    shows: list[str]
    status: int | None = 200
    """That the destination answers with; None: nothing listens there."""
    runs: bool = True
    """Whether a sidecar runs beside the commands."""
    document: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    """After the start."""
    beside: str = ""
    """A Python program that runs meanwhile."""
    waits: str = ":"
    """A command that is tried until it succeeds, before the page's."""


BURST = "for n in $(seq 60); do curl -s -o /dev/null http://127.0.0.1:16101/; done"
SCENES = {
    "502 connect_failure": Scene(["HTTP/1.1 502.*connect_failure", "connect_refused: payments"], status=None),
    "503 breaker_open": Scene(["payments", "payments 127.0.0.1:9001"], status=503, waits=BURST),
    "502 unlisted": Scene(['"reason": ?"unlisted".*paymnts|paymnts.*unlisted', "destinations.payments.endpoints"]),
    "Nothing is governed": Scene(
        ["x-sidecar-attempts: 1", r'destination="payments"\} 1', "bypassed: 1 open connection"],
        beside=PAST,
        waits="curl -s http://127.0.0.1:16000/metrics | grep 'sidecar_bypass_connections{destination=\"payments\"} 1'",
    ),
    "No metrics": Scene(
        ["# HELP", r"admin.metrics_listen +\[::\]:16002"],
        document={"admin": {"metrics_listen": "[::]:16002"}},
        waits="curl -sf http://127.0.0.1:16002/metrics && curl -sf 'http://[::1]:16002/metrics'",
    ),
    "The webhook does not inject": Scene(["image:.*retry-sidecar"], runs=False),
    "The pod does not become ready": Scene(
        ["sidecar health: no sidecar answers", "no sidecar answers at 127.0.0.1:16000"], runs=False
    ),
    "The sidecar does not start": Scene(
        ["the port is in use", r"port_taken: destinations.payments.listen 127.0.0.1:16101: pid \d+ \("],
        runs=False,
        beside=HELD,
        waits="curl -s -o /dev/null --max-time 0.2 http://127.0.0.1:16101/; [ $? -eq 28 ]",
    ),
    "The policy is refused": Scene(
        ["retry.max_attempts", "policy_refused.*retry.max_attempts", "ready.*warning"],
        policy={"version": 2, "defaults": {"retry": {"max_attempts": 9}}},
        waits="sidecar health | grep max_attempts",
    ),
    "Certificates": Scene(
        ["certificate_expired: ingress.tls.cert", "UTC"],
        runs=False,
        document={"ingress": {"app": "http://127.0.0.1:9001", "tls": {"cert": "server.pem", "key": "server.key"}}},
    ),
}


def local(title: str) -> list[str]:
    return [command for command in sections()[title] if not command.startswith("kubectl ")]


def test_every_section_with_commands_has_its_scene() -> None:
    assert set(sections()) == set(SCENES)
    assert {title: len(scene.shows) for title, scene in SCENES.items()} == {
        title: len(local(title)) for title in SCENES
    }


@pytest.mark.parametrize("title", SCENES)
def test_the_commands_of_a_section_show_what_it_says(title: str, tmp_path: Path) -> None:
    scene = SCENES[title]
    document = {"service": "checkout", "policy": {"file": "policy.yaml"}, "destinations": {"payments": PAYMENTS}}
    document["egress"] = {"listen": ["127.0.0.1:16001"]}
    (tmp_path / "sidecar.yaml").write_text(json.dumps({**document, **scene.document}))
    (tmp_path / "policy.yaml").write_text(json.dumps(POLICY))
    (tmp_path / "later.yaml").write_text(json.dumps(POLICY | scene.policy))
    (tmp_path / "deployment.yaml").write_bytes((ROOT / "deploy/kubernetes/checkout.yaml").read_bytes())
    write_pair(tmp_path, certificate("localhost", begins=2000, ends=2010), "server")
    for name, text in (("origin.py", ORIGIN), ("beside.py", scene.beside)):
        (tmp_path / name).write_text(text)
    script = [
        "ip link set lo up",
        f"export PATH={shlex.quote(str(BIN))}:$PATH TERM=dumb",
        "trap 'kill $(jobs -p) 2>/dev/null' EXIT",
        'until_done() { for _ in $(seq 300); do eval "$1" >/dev/null 2>&1 && return; sleep 0.1; done; exit 99; }',
        *([f"{sys.executable} origin.py {scene.status} &"] if scene.status is not None else []),
        *(["sidecar run --config sidecar.yaml >run.log 2>&1 &", "until_done 'sidecar health'"] if scene.runs else []),
        *(["until_done 'curl -s http://127.0.0.1:9001/'"] if scene.status is not None else []),
        *([f"{sys.executable} beside.py &"] if scene.beside else []),
        "cp later.yaml later && mv later policy.yaml" if scene.policy else ":",
        f"until_done {shlex.quote(scene.waits)}",
        *(f"{{ {command}; }} 2>&1; echo '>>>'" for command in local(title)),
    ]

    ran = subprocess.run(
        ["unshare", "--net", "bash", "-c", "\n".join(script)],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip

    outputs = ran.stdout.split(">>>\n")[:-1]
    assert len(outputs) == len(scene.shows), (ran.returncode, ran.stdout, ran.stderr)
    for output, pattern in zip(outputs, scene.shows, strict=True):
        assert re.search(pattern, output, re.DOTALL), output


def listed(kind: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {"kind": f"{kind}List", "apiVersion": "v1", "metadata": {}, "items": list(items)}


def cluster_commands() -> list[list[str]]:
    lines = re.findall(r"^kubectl .*$", PAGE, re.MULTILINE)
    return [shlex.split(line)[1:] for line in lines]


POD = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "checkout-1", "namespace": "shop", "labels": {"sidecar.io/inject": "enabled"}},
    "spec": {
        "containers": [{"name": "app", "image": "x"}],
        "initContainers": [{"name": "retry-sidecar", "image": "y"}],
    },
    "status": {"initContainerStatuses": [{"name": "retry-sidecar", "ready": False}]},
}
HOOKS = {"kind": "MutatingWebhookConfigurationList", "apiVersion": "admissionregistration.k8s.io/v1", "metadata": {}}
SEEN = {
    "get namespace": "enabled",
    "get mutatingwebhookconfiguration": "mutatingwebhookconfiguration.admissionregistration.k8s.io/retry-sidecar",
    "get pods": "checkout-1|retry-sidecar",
    "get events": "an-event",
}


@pytest.mark.parametrize("command", cluster_commands(), ids=" ".join)
def test_a_command_that_asks_a_cluster_is_taken_by_kubectl(command: list[str], tmp_path: Path) -> None:
    if "exec" in command or "logs" in command:
        # Streams of a kubelet are no GET; the options are judged, and what follows `--` is run in the scenes above.
        told = subprocess.run([program("kubectl"), *command[2:3], "--help"], capture_output=True, text=True, check=True)
        options = subprocess.run([program("kubectl"), "options"], capture_output=True, text=True, check=True).stdout
        own = command[: command.index("--")] if "--" in command else command
        assert [word for word in own if word.startswith("--") and word not in told.stdout + options] == []
        assert command[len(own) + 1 :] in ([], ["sidecar", "doctor"])
        return
    given = answers({"shop": {"sidecar.io/inject": "enabled"}}, {})
    elsewhere = {**POD, "metadata": {"name": "retry-sidecar-1", "namespace": "sidecar-system"}}
    event = {"metadata": {"name": "an-event", "namespace": "shop"}, "reason": "FailedCreate", "involvedObject": {}}
    hooks = {**HOOKS, "items": [{"metadata": {"name": "retry-sidecar"}}]}
    given |= {
        "/api/v1/namespaces/shop": {
            "kind": "Namespace", "apiVersion": "v1",
            "metadata": {"name": "shop", "labels": {"sidecar.io/inject": "enabled"}},
        },
        "/api/v1/namespaces/shop/pods": listed("Pod", POD),
        "/api/v1/namespaces/sidecar-system/pods": listed("Pod", elsewhere),
        "/api/v1/namespaces/shop/events": listed("Event", {"kind": "Event", "apiVersion": "v1", **event}),
        "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations": hooks,
    }  # fmt: skip
    events = {"name": "events", "kind": "Event", "namespaced": True, "verbs": ["get", "list"]}
    given["/api/v1"] = {**given["/api/v1"], "resources": [*given["/api/v1"]["resources"], events]}

    with api_server(tmp_path, given) as config:
        ran = subprocess.run(
            [program("kubectl"), "--kubeconfig", config, *command],
            capture_output=True, text=True, timeout=60, check=False, env={"HOME": str(tmp_path)},
        )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    (pattern,) = [pattern for words, pattern in SEEN.items() if words in " ".join(command)]
    assert re.search(pattern, ran.stdout), ran.stdout


def test_every_word_of_doctor_is_an_anchor_with_its_reason() -> None:
    anchors = dict(re.findall(r"^### (\w+)\n\n(.*?)\n", PAGE, re.MULTILINE))

    kinds = {Mark.NOTE: "Note", Mark.TROUBLE: "Finding"}
    assert anchors == {word: f"{kinds[each.mark]}. {each.why}" for word, each in WORDS.items()}


def test_every_link_to_a_word_leads_to_one() -> None:
    assert set(re.findall(r"\]\(#([a-z0-9_]+)\)", PAGE)) <= set(WORDS)
