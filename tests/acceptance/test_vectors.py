"""The table of cases on sockets: each adapter of the client, the sidecar, and a partner's client in Node."""

import shutil
import time
from pathlib import Path

import httpx
import pytest

from sidecar.vectors.case import policy_document
from sidecar.vectors.command import run_command
from sidecar.vectors.dependency import ScriptedDependency
from sidecar.vectors.judge import SeenCall, shortcomings
from tests.fakes.running import running
from tests.vectors.hosts import CASES, HOSTS, retries_for

ROOT = Path(__file__).resolve().parents[2]
PARTNER = ROOT / "docs" / "examples" / "partner.mjs"


@pytest.mark.parametrize("host", HOSTS)
async def test_every_adapter_passes_every_case(host: str, tmp_path: Path) -> None:
    retries = retries_for(tmp_path)
    found = {}
    async with ScriptedDependency(CASES) as dependency:
        for case in CASES:
            seen = await HOSTS[host](case, retries, f"http://127.0.0.1:{dependency.port}/{case.name}")
            for place, call in enumerate(seen):
                call.attempts = dependency.seen.get(f"/{case.name}/{place}", [])
            found[case.name] = shortcomings(case, seen)

    assert {name: lines for name, lines in found.items() if lines} == {}


async def test_the_sidecar_passes_every_case(tmp_path: Path) -> None:
    policy = policy_document(CASES)
    del policy["version"], policy["owner"]
    found = {}
    async with ScriptedDependency(CASES) as dependency, httpx.AsyncClient(timeout=30, trust_env=False) as client:
        destinations = {
            case.name: {"endpoints": [f"http://127.0.0.1:{dependency.port}"], "hosts": [case.name]} for case in CASES
        }
        with running(tmp_path, destinations, policy) as sidecar:
            for case in CASES:
                seen = []
                for place, call in enumerate(case.calls):
                    headers = {"Host": case.name, **({"Idempotency-Key": "k-1"} if call.keyed else {})}
                    began = time.monotonic()
                    response = await client.request(
                        call.method, f"{sidecar.egress}/{case.name}/{place}", headers=headers
                    )
                    did = _told(response)
                    did.seconds = time.monotonic() - began
                    did.attempts = dependency.seen.get(f"/{case.name}/{place}", [])
                    seen.append(did)
                found[case.name] = shortcomings(case, seen)

    assert {name: lines for name, lines in found.items() if lines} == {}


def _told(response: httpx.Response) -> SeenCall:
    """The end of a call as the sidecar tells it: an answer of its own is a problem, and says so."""
    refusal = response.headers.get("x-sidecar-refusal")
    if response.headers.get("content-type") != "application/problem+json":
        return SeenCall(outcome="answer", status=response.status_code, refusal=refusal)
    outcome = {502: "fault", 503: "refused", 504: "timeout"}[response.status_code]
    return SeenCall(outcome=outcome, refusal=refusal)


async def test_a_partners_client_in_node_passes_every_case() -> None:
    node = shutil.which("node")
    assert node is not None, "node is one of .ci/packages"

    found = {case.name: await run_command(case, [node, str(PARTNER)]) for case in CASES}

    assert {name: lines for name, lines in found.items() if lines} == {}
