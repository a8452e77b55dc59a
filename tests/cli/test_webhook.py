"""`sidecar webhook`, the real command in a process of its own: a pod, a new certificate, SIGTERM."""

import json
import signal
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from sidecar.cli.webhook import webhook
from tests.fakes.certificates import HOST, authority, certificate
from tests.inject.manifests import workload
from tests.inject.test_admission import request


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--tls-cert"),
        (["--tls-cert", "/nonexistent", "--tls-key", "/nonexistent"], "--tls-cert: can not be read: No such file"),
        (["--listen", "nowhere", "--tls-cert", "a", "--tls-key", "b"], "must be an IP address and a port"),
        (["--grace", "5", "--tls-cert", "a", "--tls-key", "b"], "must be a duration with its unit"),
    ],
)
def test_a_wrong_call_is_one_message_and_exit_code_two(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(webhook, arguments)

    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_it_answers_shows_a_renewed_certificate_and_drains(tmp_path: Path) -> None:
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    leaf = certificate()
    leaf.cert_chain_pems[0].write_to_path(cert)
    leaf.private_key_pem.write_to_path(key)
    command = [sys.executable, "-m", "sidecar", "webhook", "--listen", "127.0.0.1:0", "--grace", "100ms"]
    command += ["--tls-cert", str(cert), "--tls-key", str(key), "--log-format", "json"]
    context = ssl.create_default_context()
    authority().configure_trust(context)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        started = json.loads(process.stderr.readline())
        url = started["listen"].replace("127.0.0.1", HOST)
        body = json.dumps(request(workload("Pod"))).encode()
        asked = urllib.request.Request(f"{url}/mutate", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, context=context, timeout=10) as answer:
            response = json.load(answer)["response"]
        other = authority().issue_cert(HOST)
        other.private_key_pem.write_to_path(key)
        other.cert_chain_pems[0].write_to_path(cert)
        events = [json.loads(process.stderr.readline())]
        while events[-1]["event"] == "reload_refused":  # the key was seen before its certificate
            events.append(json.loads(process.stderr.readline()))
        process.send_signal(signal.SIGTERM)
        code = process.wait(10)
        rest = process.stderr.read()
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()

    assert response["allowed"]
    assert events[-1]["event"] == "reloaded"
    assert code == 0
    assert '"event":"drain"' in rest
    assert "Traceback" not in rest
