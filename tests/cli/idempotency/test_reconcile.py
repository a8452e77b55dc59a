"""`sidecar idempotency reconcile`: what each side has alone, with a running sidecar and a provider's file."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli.idempotency.reconcile import (
    NO_KEY,
    ONLY_OURS,
    ONLY_PROVIDER,
    UNKNOWN_NOT_THERE,
    UNKNOWN_THERE,
    KeyDifference,
    differences,
    reconcile,
)
from tests.fakes.peer import peer, read_head
from tests.fakes.running import Running, running
from tests.fakes.store_servers import free_port


def test_each_side_is_told_what_the_other_has_alone() -> None:
    ours: dict[str, tuple[str, str | None]] = {
        "both": ("completed", "t0"),
        "ours": ("completed", "t1"),
        "unknown-there": ("unknown", "t2"),
        "unknown-not-there": ("unknown", "t3"),
        "running": ("in_flight", "t4"),
    }

    found = differences([(2, "both"), (3, "theirs"), (4, "unknown-there"), (5, None)], ours)

    assert found == [
        KeyDifference(ONLY_PROVIDER, "theirs", 3, None),
        KeyDifference(UNKNOWN_THERE, "unknown-there", 4, "t2"),
        KeyDifference(NO_KEY, None, 5, None),
        KeyDifference(ONLY_OURS, "ours", None, "t1"),
        KeyDifference(UNKNOWN_NOT_THERE, "unknown-not-there", None, "t3"),
    ]


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[tuple[Running, int]]:
    port = free_port()

    def answer(sock: object) -> None:
        head = read_head(sock)  # type: ignore[arg-type]
        if b"hang-up" not in head:
            sock.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")  # type: ignore[attr-defined]

    with peer(answer) as app:
        match = {"methods": ["POST"], "path": "/pay"}
        ingress = {
            "listen": f"127.0.0.1:{port}",
            "app": f"http://127.0.0.1:{app}",
            "idempotency": {"store": {"sqlite": "keys.db"}},
            "routes": [{"name": "pay", "match": match, "class": "at_most_once", "scope": []}],
        }
        with running(tmp_path, {}, ingress=ingress) as process:
            yield process, port


def pay(port: int, key: str) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/pay", b"", {"Idempotency-Key": key}, method="POST")
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except urllib.error.HTTPError as error:
        error.close()


def run(process: Running, file: Path, *more: str) -> Result:
    named = ["--psp", str(file), "--route", "pay", "--admin", process.admin, "--token-file", str(process.token_file)]
    return CliRunner().invoke(reconcile, [*named, *more])


def test_a_providers_export_is_compared_with_a_running_sidecar(pod: tuple[Running, int], tmp_path: Path) -> None:
    process, port = pod
    for key in ("both", "ours", "hang-up"):
        pay(port, key)
    file = tmp_path / "export.csv"
    file.write_text("id,idempotency_key\n1,both\n2,theirs\n3,hang-up\n4,\n")

    told = run(process, file)
    listed = json.loads(run(process, file, "--format", "json").output)

    assert told.exit_code == 1
    assert told.output.endswith("4 at the provider, 3 here, 4 differ\n")
    assert [(each["what"], each["row"]) for each in listed] == [
        (ONLY_PROVIDER, 3),
        (UNKNOWN_THERE, 4),
        (NO_KEY, 5),
        (ONLY_OURS, None),
    ]


def test_two_sides_that_agree_are_fine(pod: tuple[Running, int], tmp_path: Path) -> None:
    process, port = pod
    pay(port, "both")
    file = tmp_path / "export.csv"
    file.write_text("key\nboth\n")

    result = run(process, file, "--key-column", "key")

    assert (result.exit_code, result.output) == (0, "1 at the provider, 1 here, 0 differ\n")


def test_what_can_not_be_compared_is_told(pod: tuple[Running, int], tmp_path: Path) -> None:
    process, _ = pod
    file = tmp_path / "export.csv"
    file.write_text("id\n1\n")

    assert "has no column idempotency_key" in run(process, file).output
    assert "can not be read: No such file" in run(process, tmp_path / "none").output
    assert run(process, file, "--route", "other", "--key-column", "id").exit_code == 1
