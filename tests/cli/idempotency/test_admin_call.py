"""Commands that ask a running sidecar about its keys: with its token, and every way of not getting through."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.peer import peer, read_head
from tests.fakes.running import Running, running
from tests.fakes.store_servers import free_port

ROUTE = {"name": "pay", "match": {"methods": ["POST"], "path": "/pay"}, "class": "at_most_once"}


def sidecar(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "sidecar", "idempotency", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[tuple[Running, str, int]]:
    """A sidecar, its ingress, and a service behind it that hangs up on everybody."""
    port = free_port()
    with peer(lambda sock: read_head(sock) and None) as app:
        ingress = {
            "listen": f"127.0.0.1:{port}",
            "app": f"http://127.0.0.1:{app}",
            "idempotency": {"store": {"sqlite": "keys.db"}},
            "routes": [ROUTE],
        }
        with running(tmp_path, {}, ingress=ingress) as process:
            yield process, str(process.token_file), port


def pay(port: int, key: str) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/pay", b"{}", {"Idempotency-Key": key})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code


def test_an_unknown_outcome_is_seen_shown_resolved_and_answered(pod: tuple[Running, str, int]) -> None:
    process, token, port = pod
    admin = ("--admin", process.admin, "--token-file", token)
    key = ("--route", "pay", "--key", "k1")
    assert (pay(port, "k1"), pay(port, "k1")) == (502, 409)

    unknown = sidecar("show", "--unknown", *admin)
    shown = sidecar("show", *key, *admin, "--format", "json")
    resolved = sidecar("resolve", *key, "--applied", "--by", "a.lee", "--reason", "the PSP has it", *admin)
    again = sidecar("resolve", *key, "--applied", "--by", "a.lee", "--reason", "the PSP has it", *admin)
    after = sidecar("show", "--unknown", *admin)

    assert unknown[0] == 1
    assert "1 key waits to be found out" in unknown[1]
    assert json.loads(shown[1])["state"] == "unknown"
    assert resolved[0] == 0
    assert again == (1, "sidecar idempotency resolve: the outcome of this key is not unknown: it is completed\n")
    assert after == (0, "0 keys wait to be found out\n")
    assert pay(port, "k1") == 204
    assert "resolved as applied by a.lee: the PSP has it" in process.log.read_text()
    assert sidecar("erase", "--route", "pay", "--scope", "authorization:x", *admin) == (0, "0 erased\n")


def test_without_the_right_token_nothing_is_told(pod: tuple[Running, str, int], tmp_path: Path) -> None:
    process, _, _ = pod
    (tmp_path / "wrong").write_text("x" * 32)

    code, said = sidecar("show", "--unknown", "--admin", process.admin, "--token-file", str(tmp_path / "wrong"))

    assert code == 2
    assert "admin token" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "--token-file", "FILE"), "name a key: --id HEX, or --route NAME --key KEY"),
        (("show", "--key", "k", "--token-file", "FILE"), "name a key"),
        (("show", "--unknown", "--token-file", "none"), "none: can not be read: No such file"),
        (("show", "--unknown", "--token-file", "FILE", "--admin", "http://127.0.0.1:1"), "Connection refused"),
        (
            ("show", "--unknown", "--token-file", "FILE", "--admin", "file:///etc/passwd"),
            "must be an http or https URL",
        ),
        (("resolve", "--id", "00", "--by", "a", "--reason", "b", "--token-file", "FILE"), "--applied or --not-applied"),
        (("erase", "--route", "pay", "--scope", "x", "--token-file", "FILE"), "must be HEADER:VALUE"),
    ],
)
def test_what_can_not_be_done_is_told(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "token").write_text("t" * 32)

    code, output = sidecar(*(str(tmp_path / "token") if word == "FILE" else word for word in arguments))

    assert code == 2
    assert said in output
