"""The webhook over real TLS: what is asked well is answered, what is garbage costs nobody else anything."""

import asyncio
import gzip
import io
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.inject import webhook
from sidecar.inject.webhook import WebhookFiles, WebhookServer
from sidecar.net import Address
from tests.fakes.certificates import HOST, authority, certificate
from tests.fakes.waiting import turn
from tests.inject.manifests import workload
from tests.inject.test_admission import request


class Told:
    def __init__(self) -> None:
        self.events: list[tuple[int, str, dict[str, object]]] = []

    def __call__(self, level: int, event: str, **fields: object) -> None:
        self.events.append((level, event, fields))


def write_certificate(folder: Path, leaf: trustme.LeafCert) -> WebhookFiles:
    cert, key = folder / "tls.crt", folder / "tls.key"
    leaf.cert_chain_pems[0].write_to_path(cert)
    leaf.private_key_pem.write_to_path(key)
    return WebhookFiles(cert, key, folder / "injection.yaml")


class Running:
    """A webhook that listens, and a client that trusts it."""

    def __init__(self, server: WebhookServer, address: Address, session: aiohttp.ClientSession, told: Told) -> None:
        self.server = server
        self.address = address
        self.session = session
        self.told = told

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(f"https://{HOST}:{self.address.port}{path}") as response:
            return response.status, await response.text()

    async def post(self, data: Any, content_type: str = "application/json") -> tuple[int, str]:
        url = f"https://{HOST}:{self.address.port}/mutate"
        async with self.session.post(url, data=data, headers={"Content-Type": content_type}) as response:
            return response.status, await response.text()

    async def count(self, name: str) -> float:
        _, text = await self.get("/metrics")
        return float(next(line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(name + " ")))

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = ssl.create_default_context()
        authority().configure_trust(context)
        return await asyncio.open_connection("127.0.0.1", self.address.port, ssl=context, server_hostname=HOST)

    async def serial(self) -> int:
        """The number of the certificate that a new connection is shown."""
        _, writer = await self.open()
        found = int(writer.get_extra_info("peercert")["serialNumber"], 16)
        writer.close()
        return found


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    (tmp_path / "injection.yaml").write_text("image: first:1\n")
    told = Told()
    server = WebhookServer(write_certificate(tmp_path, certificate()), told)
    address = await server.start(Address("127.0.0.1", 0))
    context = ssl.create_default_context()
    authority().configure_trust(context)
    resolver = aiohttp.TCPConnector(ssl=context, family=2)
    async with aiohttp.ClientSession(connector=resolver) as session:
        yield Running(server, address, session, told)
    await server.close()


REVIEW = json.dumps(request(workload("Pod"))).encode()


async def test_a_pod_is_answered_and_the_probes_are(running: Running) -> None:
    status, text = await running.post(REVIEW)

    assert status == 200
    assert json.loads(text)["response"]["patchType"] == "JSONPatch"
    assert await running.get("/livez") == (200, "live\n")
    assert await running.get("/readyz") == (200, "ready\n")
    assert await running.count('sidecar_webhook_admissions_total{outcome="injected"}') == 1
    assert await running.count("sidecar_webhook_admission_seconds_count") == 1


@pytest.mark.parametrize(
    ("body", "content_type", "status", "rule"),
    [
        (b"{", "application/json", 400, "the body is not JSON"),
        (REVIEW[:-20], "application/json", 400, "the body is not JSON"),
        (b"[]", "application/json", 400, "the body must be an AdmissionReview"),
        (b"[" * 200_000, "application/json", 400, "the body is not JSON"),
        (REVIEW, "application/yaml", 415, "the body must be application/json"),
        (b"", "application/json", 400, "the body is not JSON"),
        (b" " * (webhook.BODY_CEILING_BYTES + 1), "application/json", 413, "the body must be at most 8 MiB"),
    ],
)
async def test_garbage_is_told_by_its_rule_and_is_never_a_500(
    running: Running, body: bytes, content_type: str, status: int, rule: str
) -> None:
    answer = await running.post(io.BytesIO(body), content_type)

    assert answer[0] == status
    assert answer[1].startswith(rule)
    assert (await running.post(REVIEW))[0] == 200
    assert await running.count("sidecar_webhook_unreviewable_total") == 1
    assert await running.count("sidecar_webhook_faults_total") == 0


async def test_a_fault_of_its_own_is_no_500_either_and_is_counted(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_content: bytes, _settings: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(webhook, "review", broken)

    assert (await running.post(REVIEW))[0] == 400
    assert await running.count("sidecar_webhook_faults_total") == 1
    assert running.told.events[-1][1] == "admission_fault"


async def test_what_can_not_have_a_sidecar_is_in_the_log(running: Running) -> None:
    pod = workload("Pod")
    pod["spec"]["hostNetwork"] = True

    await running.post(json.dumps(request(pod)).encode())

    level, event, fields = running.told.events[-1]
    assert (level, event, fields["pod"], fields["outcome"]) == (30, "not_injected", "shop/checkout", "passed")


async def test_a_body_that_comes_too_slowly_is_given_up(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "BODY_SECONDS", 0.05)
    reader, writer = await running.open()

    head = f"POST /mutate HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    writer.write(head.encode() + b"{")
    answer = await reader.read()
    writer.close()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"must be whole after" in answer


async def test_a_slow_caller_holds_up_nobody(running: Running) -> None:
    slow = [await running.open() for _ in range(20)]
    for _, writer in slow:
        writer.write(b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")

    statuses = [status for status, _ in await asyncio.gather(*(running.post(REVIEW) for _ in range(20)))]

    assert statuses == [200] * 20
    for _, writer in slow:
        writer.transport.abort()


@pytest.mark.parametrize("body", [b"abc", gzip.compress(REVIEW), gzip.compress(b" " * 50_000_000)])
async def test_a_compressed_body_is_refused_without_a_look_into_it(running: Running, body: bytes) -> None:
    """What claimed to be gzip and was not got a 500, and a small one that was took 1.5 s."""
    reader, writer = await running.open()

    head = f"POST /mutate HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    answer = await reader.read()
    writer.close()

    assert answer.startswith(b"HTTP/1.1 415 ")


async def test_a_caller_that_leaves_in_the_middle_is_no_error_of_ours(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        _, writer = await running.open()
        writer.write(
            b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
        await writer.drain()
        writer.transport.abort()

    assert (await running.post(REVIEW))[0] == 200
    assert [record for record in caplog.records if record.exc_info] == []


async def test_bytes_that_are_no_tls_or_no_http_hurt_nobody(running: Running) -> None:
    _, plain = await asyncio.open_connection("127.0.0.1", running.address.port)
    plain.write(b"GET / HTTP/1.1\r\n\r\n")
    reader, writer = await running.open()
    writer.write(b"\x00\x01\x02 nonsense\r\n\r\n")
    answer = await reader.read()
    plain.close()
    writer.close()

    assert b" 500 " not in answer
    assert (await running.post(REVIEW))[0] == 200


async def test_a_new_certificate_is_shown_without_a_restart_and_a_broken_one_is_not(
    running: Running, tmp_path: Path
) -> None:
    before = await running.serial()
    other = authority().issue_cert(HOST)

    write_certificate(tmp_path, other)
    await running.server._reload()
    renewed = await running.serial()
    (tmp_path / "tls.key").write_text("nonsense")
    await running.server._reload()
    kept = await running.serial()

    assert renewed != before
    assert kept == renewed
    assert (await running.post(REVIEW))[0] == 200
    assert await running.count('sidecar_webhook_reloads_total{document="certificate",result="success"}') == 1
    assert await running.count('sidecar_webhook_reloads_total{document="certificate",result="failure"}') == 1


async def test_new_settings_are_in_force_without_a_restart_and_broken_ones_are_not(
    running: Running, tmp_path: Path
) -> None:
    (tmp_path / "injection.yaml").write_text("image: second:2\n")
    await running.server._reload()
    (tmp_path / "injection.yaml").write_text("imag: third:3\n")
    await running.server._reload()

    assert running.server.settings.image == "second:2"
    assert "imag: is not known" in str(running.told.events[-1][2]["findings"])


async def test_draining_is_told_and_what_comes_meanwhile_is_served_and_then_the_port_is_free(running: Running) -> None:
    draining = asyncio.create_task(running.server.drain(0.3))
    await turn()

    unready = await running.get("/readyz")
    served = await running.post(REVIEW)
    await draining

    assert unready == (503, "draining\n")
    assert served[0] == 200
    with pytest.raises(OSError, match="onnect"):
        await running.open()


def test_everything_that_is_wrong_with_its_files_is_told_at_once(tmp_path: Path) -> None:
    files = write_certificate(tmp_path, certificate())
    (tmp_path / "tls.crt").write_text("nonsense")
    (tmp_path / "injection.yaml").write_text("imag: x\n")

    with pytest.raises(InvalidDocument) as raised:
        WebhookServer(files, Told())

    assert [finding.file.rpartition("/")[2] for finding in raised.value.findings] == ["--tls-cert", "injection.yaml"]
