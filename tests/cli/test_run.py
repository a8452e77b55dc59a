"""`sidecar run`, the real command in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fakes.waiting import WITHIN, wait_until

POLICY = """\
version: {version}
owner: platform
defaults:
  timeout: {timeout}
guardrails: {{}}
destinations: {{}}
exceptions: []
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sidecar", "run", *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def write_files(folder: Path, *, timeout: str = "5s") -> tuple[Path, int, int]:
    admin, own = free_port(), free_port()
    (folder / "policy.yaml").write_text(POLICY.format(version=1, timeout=timeout))
    file = folder / "sidecar.yaml"
    file.write_text(
        f"service: checkout\nadmin: {{listen: '127.0.0.1:{admin}'}}\npolicy: {{file: policy.yaml}}\n"
        f"egress: {{listen: ['127.0.0.1:{free_port()}']}}\n"
        f"destinations:\n  payments:\n    endpoints: ['http://127.0.0.1:{free_port()}']\n"
        f"    listen: '127.0.0.1:{own}'\n"
    )
    return file, admin, own


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        text: str = answer.read().decode()
        return text


def wait_for(what: str, url: str, seconds: float = WITHIN) -> str:
    text = ""

    def came() -> bool:
        nonlocal text
        with suppress(OSError):
            text = get(url)
        return what in text

    wait_until(came, seconds)
    return text


THIRD_PARTY = {
    "aiohappyeyeballs",
    "click",
    "httptools",
    "msgspec",
    "typing_extensions",  # of msgspec, where it is installed
    "uvloop",
    "yaml",
}
"""What `sidecar run` may import before the first request is answered. Each package costs every pod time and memory:
aiohttp with its certificates 0.15 s, prometheus_client and rich 0.01 s each."""

LATER = {
    "aiohttp",
    "http.client",
    "multiprocessing",
    "prometheus_client",
    "rich",
    "sidecar.admin.server",
    "sidecar.client",
    "sidecar.demo",
    "sidecar.governance.review",
    "sidecar.review",
    "sidecar.simulator",
    "sidecar.telemetry.exporter",
    "sidecar.watch",
    "sqlite3",
    "structlog",
    "urllib.request",
    "watchfiles",
}
"""Modules that come later or never."""


def test_no_more_is_imported_before_the_first_request_than_what_is_listed() -> None:
    code = "import sys, sidecar.__main__, sidecar.cli.run; print(*sys.modules)"

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    ).stdout

    loaded = set(printed.split())
    roots = {name.partition(".")[0] for name in loaded}
    foreign = {name for name in roots if name not in sys.stdlib_module_names and not name.startswith(("_", "sidecar"))}
    assert foreign - {"cython_runtime"} <= THIRD_PARTY
    assert not loaded & LATER


def test_no_class_that_a_start_makes_is_a_dataclass() -> None:
    """Each is made twice and by `exec`, 0.9 ms: a hundred of them are a fifth of the start. A Struct takes 0.02 ms."""
    code = (
        "import sys, sidecar.cli.run\n"
        "for name, module in list(sys.modules.items()):\n"
        "    if name.startswith('sidecar.') and not name.startswith('sidecar.idempotency.'):\n"
        "        for each in vars(module).values():\n"
        "            if isinstance(each, type) and each.__module__ == name and '__dataclass_fields__' in vars(each):\n"
        "                print(f'{name}.{each.__name__}')\n"
    )

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    ).stdout

    assert printed.split() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--config", "--upstream"]),
        (["--frobnicate"], ["--frobnicate"]),
        (["--upstream", "payments"], ["--upstream", "name=url"]),
        (["--upstream", "payments=ftp://x"], ["--upstream", "ftp://x"]),
        (["--upstream", "payments=http://127.0.0.1:1", "--listen", "nowhere"], ["--listen", "nowhere"]),
        (["--upstream", "payments=http://127.0.0.1:1", "--admin", "nowhere"], ["--admin", "nowhere"]),
        (["--config", "/nonexistent/sidecar.yaml"], ["/nonexistent/sidecar.yaml"]),
        (["--config", "a.yaml", "--listen", "127.0.0.1:1"], ["a.yaml: can not be read"]),
        (["--config-optional", "--upstream", "payments=http://127.0.0.1:1"], ["--config-optional", "--config"]),
    ],
)
def test_bad_flags_are_one_clear_message_and_exit_two(arguments: list[str], words: list[str]) -> None:
    result = run(*arguments)

    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert all(word in result.stderr for word in words)


@pytest.mark.parametrize(
    ("timeout", "line"),
    [
        ("10", "policy.yaml:4: defaults.timeout"),
        ("5s\n  timeout: 6s", "policy.yaml:5: defaults.timeout"),
        ("5s\n  frob: 1", "policy.yaml:5: defaults.frob"),
        ("5s\n  retry: {retry_after: {honour: yes}}", "policy.yaml:5: defaults.retry.retry_after.honour"),
    ],
)
def test_bad_yaml_names_file_line_and_field_and_exits_two(tmp_path: Path, timeout: str, line: str) -> None:
    file, _, _ = write_files(tmp_path, timeout=timeout)

    result = run("--config", str(file))

    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert line in result.stderr


def test_a_port_in_use_is_named_and_exits_two(tmp_path: Path) -> None:
    file, admin, own = write_files(tmp_path)
    for port in (own, admin):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            taken.listen()

            result = run("--config", str(file))

        assert result.returncode == 2
        assert f"127.0.0.1:{port}" in result.stderr
        assert "Traceback" not in result.stderr


def test_a_policy_is_reloaded_on_change_and_on_sighup_and_a_broken_one_is_refused_with_its_line(tmp_path: Path) -> None:
    file, admin, _ = write_files(tmp_path)
    policy = tmp_path / "policy.yaml"
    process = subprocess.Popen([sys.executable, "-m", "sidecar", "run", "--config", str(file)], stderr=subprocess.PIPE)
    try:
        base = f"http://127.0.0.1:{admin}"
        wait_for('"ready": true', f"{base}/readyz")
        policy.write_text(POLICY.format(version=2, timeout="6s"))
        valid = wait_for('"version": 2', f"{base}/policy")
        policy.write_text(POLICY.format(version=3, timeout="6"))
        broken = wait_for("got 6", f"{base}/policy")
        policy.write_text(POLICY.format(version=4, timeout="7s"))
        process.send_signal(signal.SIGHUP)
        mended = wait_for('"version": 4', f"{base}/policy")
        process.send_signal(signal.SIGTERM)
        code = process.wait(10)
    finally:
        process.kill()
        assert process.stderr is not None
        log = process.stderr.read().decode()
        process.stderr.close()

    assert '"version": 2' in valid
    assert '"version": 2' in broken
    assert '"version": 4' in mended
    assert code == 0
    assert "reload_refused" in log
    assert "Traceback" not in log


def test_a_bad_variable_ends_it_with_its_name_and_two() -> None:
    result = run(SIDECAR_UPSTREAMS="payments=http://127.0.0.1:1", SIDECAR_METRICS_LISTEN="nowhere")

    assert result.returncode == 2
    assert result.stderr.startswith("SIDECAR_METRICS_LISTEN: admin.metrics_listen: must be an IP address and a port")
    assert len(result.stderr.splitlines()) == 1


def test_a_sidecar_runs_from_variables_alone_and_takes_up_a_file_that_comes_later(tmp_path: Path) -> None:
    """As an injected container does: what the workload's annotations say, and a ConfigMap that may not exist yet."""
    admin, metrics, own = free_port(), free_port(), free_port()
    folder = tmp_path / "config"
    folder.mkdir()
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.format(version=4, timeout="5s"))
    variables = {
        "SIDECAR_CONFIG": str(folder / "sidecar.yaml"),
        "SIDECAR_CONFIG_OPTIONAL": "true",
        "SIDECAR_SERVICE": "checkout",
        "SIDECAR_UPSTREAMS": f"payments=http://127.0.0.1:{free_port()} ledger=http://127.0.0.1:{free_port()}",
        "SIDECAR_LISTEN": f"127.0.0.1:{free_port()} payments=127.0.0.1:{own}",
        "SIDECAR_ADMIN": f"127.0.0.1:{admin}",
        "SIDECAR_METRICS_LISTEN": f"127.0.0.1:{metrics}",
        "SIDECAR_POLICY": str(policy),
        "SIDECAR_INGRESS_APP": f"http://127.0.0.1:{free_port()}",
        "SIDECAR_INGRESS_LISTEN": f"127.0.0.1:{free_port()}",
        "SIDECAR_DRAIN_TIMEOUT": "3s",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "sidecar", "run"], env=os.environ | variables, stderr=subprocess.PIPE
    )
    try:
        ready = wait_for('"ready": true', f"http://127.0.0.1:{metrics}/readyz")
        before = get(f"http://127.0.0.1:{admin}/policy")
        (folder / "sidecar.yaml").write_text(
            "service: ignored\n"
            "destinations: {payments: {endpoints: ['http://127.0.0.1:1'], overrides: {timeout: 4s}}}\n"
        )
        after = wait_for("sidecar.yaml:2", f"http://127.0.0.1:{admin}/policy")
        process.send_signal(signal.SIGTERM)
        code = process.wait(10)
    finally:
        process.kill()
        assert process.stderr is not None
        log = process.stderr.read().decode()
        process.stderr.close()

    assert '"version": 4' in before
    assert "sidecar.yaml" not in before
    assert '"service": "checkout"' in after
    assert "ready" in ready
    assert code == 0
    assert '"seconds":3.0' in log
    assert "Traceback" not in log
