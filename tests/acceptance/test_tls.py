"""TLS with the real command: towards a destination and in front of the service, and certificates that are renewed."""

import asyncio
import json
import os
import re
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from sidecar.governance.policy.snapshot import Snapshot, load
from sidecar.governance.trust.certificates import CertificateStore
from sidecar.proxy.tls_contexts import TlsContexts
from tests.cli.test_run import POLICY, free_port, run
from tests.fakes.certificates import HOST, authority, certificate, server_context, write_authority, write_pair
from tests.fakes.documents import NOW
from tests.fakes.origin import Origin, Request, replying, response


@dataclass
class Rig:
    """One running sidecar: an own port for `payments`, an ingress, and what it wrote to its log."""

    folder: Path
    own: int
    ingress: int
    admin: int
    log: list[dict[str, object]] = field(default_factory=list)

    def events(self, name: str) -> list[dict[str, object]]:
        return [line for line in self.log if line["event"] == name]

    async def metric(self, session: aiohttp.ClientSession, series: str) -> float:
        async with session.get(f"http://127.0.0.1:{self.admin}/metrics") as answer:
            text = await answer.text()
        found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
        assert found is not None, series
        return float(found[1])


async def until(holds: Callable[[], object], seconds: float = 10.0) -> None:
    ends = asyncio.get_running_loop().time() + seconds
    while not holds():
        assert asyncio.get_running_loop().time() < ends, "it never came"
        await asyncio.sleep(0.02)


def documents(folder: Path, destination: str, *, ingress: str = "") -> tuple[int, int, int]:
    own, entrance, admin = free_port(), free_port(), free_port()
    (folder / "policy.yaml").write_text(POLICY.format(version=1, timeout="5s"))
    lines = [
        "service: checkout",
        f"admin: {{listen: '127.0.0.1:{admin}'}}",
        "policy: {file: policy.yaml}",
        f"egress: {{listen: ['127.0.0.1:{free_port()}']}}",
        "destinations:",
        f"  payments: {{listen: '127.0.0.1:{own}', {destination}}}",
    ]
    if ingress:
        lines.append(f"ingress: {{listen: '127.0.0.1:{entrance}', {ingress}}}")
    (folder / "sidecar.yaml").write_text("\n".join(lines) + "\n")
    return own, entrance, admin


@asynccontextmanager
async def sidecar(folder: Path, destination: str, *, ingress: str = "") -> AsyncIterator[Rig]:
    own, entrance, admin = documents(folder, destination, ingress=ingress)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar", "run", "--config", str(folder / "sidecar.yaml"), stderr=asyncio.subprocess.PIPE
    )
    rig = Rig(folder, own, entrance, admin)

    async def read() -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            rig.log.append(json.loads(line))

    reading = asyncio.create_task(read())
    try:
        await until(lambda: rig.events("start") or process.returncode is not None)
        yield rig
    finally:
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 10)
        await reading
    assert code == 0


def swap(folder: Path, files: dict[str, bytes], generation: str) -> None:
    """What a kubelet does with a mounted Secret: a new directory, and one rename of the link to it."""
    data = folder / generation
    data.mkdir(parents=True)
    for name, content in files.items():
        (data / name).write_bytes(content)
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(Path("..data") / name)
    (folder / "..tmp").symlink_to(generation)
    os.replace(folder / "..tmp", folder / "..data")  # noqa: PTH105 - the system call is the point


async def test_a_destination_is_called_by_its_name_with_our_certificate_and_a_renewed_one_needs_no_restart(
    tmp_path: Path,
) -> None:
    shown: list[object] = []

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        shown.append(writer.get_extra_info("peercert")["subjectAltName"][0][1])
        writer.write(response(200))

    pem = write_pair(tmp_path, certificate("first.client"))
    secret = tmp_path / "secret"
    first = {"tls.crt": pem[0].read_bytes(), "tls.key": pem[1].read_bytes()}
    swap(secret, first, "..1")
    ca = write_authority(tmp_path)
    async with Origin(answer, server_context(client_ca="ours")) as origin:
        tls = f"tls: {{ca: {ca.name}, cert: secret/tls.crt, key: secret/tls.key}}"
        async with sidecar(tmp_path, f"endpoints: ['https://{HOST}:{origin.port}'], {tls}") as rig:
            async with aiohttp.ClientSession() as session:

                async def call() -> int:
                    async with session.get(f"http://127.0.0.1:{rig.own}/") as reply:
                        return reply.status

                statuses = [await call(), await call()]
                swap(secret, {**first, "tls.crt": b"-----BEGIN CERTIFICATE-----\nMIIB"}, "..2")
                await until(lambda: rig.events("certificate_refused"))
                statuses.append(await call())
                broken = await rig.metric(session, "sidecar_certificate_renewal_success")
                failures = await rig.metric(session, 'sidecar_certificate_renewals_total{result="failure"}')
                # A document with a mistake in it holds no certificate back.
                (tmp_path / "policy.yaml").write_text(POLICY.format(version=2, timeout="5"))
                await until(lambda: rig.events("reload_refused"))
                pem = write_pair(tmp_path, certificate("second.client"))
                swap(secret, {"tls.crt": pem[0].read_bytes(), "tls.key": pem[1].read_bytes()}, "..3")
                await until(lambda: rig.events("certificates_renewed"))
                statuses.append(await call())
                good = await rig.metric(session, "sidecar_certificate_renewal_success")

    assert statuses == [200] * 4
    assert shown == ["first.client"] * 3 + ["second.client"]
    assert origin.connections == 2
    refused = str(rig.events("certificate_refused")[0]["finding"])
    assert refused.startswith(f"{tmp_path}/sidecar.yaml:6: destinations.payments.tls.cert: must hold whole")
    assert (broken, failures, good) == (0.0, 1.0, 1.0)


async def test_the_service_is_called_in_tls_through_the_ingress_and_its_certificate_is_renewed(tmp_path: Path) -> None:
    write_pair(tmp_path, certificate(HOST), "ingress")
    context = ssl.create_default_context()
    authority().configure_trust(context)
    async with Origin(replying(response(200, b"hello"))) as app, Origin(replying(response(200))) as payments:
        async with sidecar(
            tmp_path,
            f"endpoints: ['http://127.0.0.1:{payments.port}']",
            ingress=f"app: 'http://127.0.0.1:{app.port}', tls: {{cert: ingress.pem, key: ingress.key}}",
        ) as rig:
            async with aiohttp.ClientSession() as session:
                url = f"https://{HOST}:{rig.ingress}/x"
                async with session.get(url, ssl=context) as reply:
                    body = await reply.read()
                before = await _certificate_of(rig.ingress)
                write_pair(tmp_path, certificate(HOST, ends=2099), "ingress")
                await until(lambda: rig.events("certificates_renewed"))
                after = await _certificate_of(rig.ingress)
                async with session.get(url, ssl=context) as reply:
                    status = reply.status
                requests = await rig.metric(session, 'sidecar_requests_total{destination="ingress",outcome="success"}')
                async with session.get(f"http://127.0.0.1:{rig.admin}/policy") as reply:
                    policy = await reply.json()

    assert (body, status) == (b"hello", 200)
    assert before != after
    assert requests == 2
    assert [request.header("x-forwarded-proto") for request in app.requests] == ["https", "https"]
    assert [request.header("x-forwarded-for") for request in app.requests] == ["127.0.0.1", "127.0.0.1"]
    assert policy["ingress"]["timeout"] == {"value": "5m", "source": "baseline", "place": "built in for ingress:1"}


async def _certificate_of(port: int) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    der: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return der


async def test_a_certificate_that_has_expired_is_told_in_one_word_everywhere(tmp_path: Path) -> None:
    ca = write_authority(tmp_path)
    async with Origin(replying(response(200)), server_context(certificate(ends=2020))) as origin:
        destination = f"endpoints: ['https://{HOST}:{origin.port}'], tls: {{ca: {ca.name}}}"
        async with sidecar(tmp_path, destination) as rig, aiohttp.ClientSession() as session:
            async with session.post(f"http://127.0.0.1:{rig.own}/", data=b"x") as reply:
                status, problem = reply.status, await reply.json()
            counted = await rig.metric(
                session, 'sidecar_connect_failures_total{destination="payments",reason="tls_expired"}'
            )
            await until(lambda: rig.events("exchange"))

    assert status == 502
    assert problem["reason"] == "tls_expired"
    (line,) = rig.events("exchange")
    attempts = line["attempts"]
    assert isinstance(attempts, list)
    assert {attempt["outcome"] for attempt in attempts} == {"tls_expired"}
    assert counted == len(attempts)


@pytest.mark.parametrize(
    ("tls", "finding"),
    [
        ("ca: none.pem", "sidecar.yaml:6: destinations.payments.tls.ca: can not be read: No such file or directory"),
        ("cert: a.pem, key: b.key", "sidecar.yaml:6: destinations.payments.tls.key: must be the key of"),
        ("ca: policy.yaml", "sidecar.yaml:6: destinations.payments.tls.ca: must hold a certificate in PEM"),
    ],
)
def test_certificates_that_are_wrong_at_the_start_are_named_and_exit_two(
    tmp_path: Path, tls: str, finding: str
) -> None:
    write_pair(tmp_path, certificate("a"), "a")
    write_pair(tmp_path, certificate("b"), "b")
    documents(tmp_path, f"endpoints: ['https://{HOST}'], tls: {{{tls}}}")

    result = run("--config", str(tmp_path / "sidecar.yaml"))

    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert finding in result.stderr
    assert len(result.stderr.splitlines()) == 1


# What the documentation shows


ROOT = Path(__file__).resolve().parents[2]


def spoken(folder: Path, sidecar_text: str, policy_text: str) -> Snapshot:
    """Load both documents, with certificates of ours where they name some, and make contexts of everything."""
    (folder / "pki").mkdir()
    for name in ("internal-ca", "callers-ca"):
        (folder / "pki" / f"{name}.pem").write_bytes(authority().cert_pem.bytes())
    write_pair(folder / "pki", certificate("checkout"), "checkout")
    (folder / "sidecar.yaml").write_text(sidecar_text, encoding="utf-8")
    (folder / "policy.yaml").write_text(policy_text, encoding="utf-8")
    snapshot = load(folder / "sidecar.yaml", NOW)
    files = [destination.tls.files for destination in snapshot.destinations.values()]
    if snapshot.ingress is not None and snapshot.ingress.tls is not None:
        files.append(snapshot.ingress.tls.files)
    store = CertificateStore()
    store.adopt(files)
    TlsContexts(store).follow(snapshot)
    return snapshot


def test_what_the_documentation_of_tls_shows_is_taken(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "tls.md").read_text(encoding="utf-8")
    towards, policy, in_front = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for name in ("towards", "in_front"):
        (tmp_path / name).mkdir()

    ledger = spoken(tmp_path / "towards", towards, policy).destinations["ledger"]
    ingress = spoken(tmp_path / "in_front", in_front, policy).ingress

    assert (ledger.tls.min_version, ledger.tls.server_name) == ("1.3", "ledger.internal")
    assert [file.field.rpartition(".")[2] for file in ledger.tls.files] == ["ca", "cert", "key"]
    assert ingress is not None
    assert ingress.tls is not None
    assert len(list(ingress.tls.files)) == 3


def test_what_the_shipped_sidecar_file_has_as_comments_is_taken(tmp_path: Path) -> None:
    text = (ROOT / "config" / "sidecar.yaml").read_text(encoding="utf-8")
    policy = (ROOT / "config" / "policy.yaml").read_text(encoding="utf-8")
    written = re.sub(r"^( *)# ( *[a-z_]+:( |$))", r"\1\2", text, flags=re.MULTILINE)

    snapshot = spoken(tmp_path, written, policy)

    assert snapshot.destinations["ledger"].tls.server_name == "ledger.internal"
    assert snapshot.ingress is not None
    assert snapshot.ingress.policy.timeout == 30.0
