import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.doctor.diagnosis import Mark
from sidecar.doctor.governed import PolicyStart, governed
from sidecar.governance.loading.policy_cache import Kept, Memory, PolicyCache
from sidecar.governance.policy.bootstrap import Bootstrap, from_file
from sidecar.governance.policy.delivery import Delivery
from tests.fakes.documents import NOW, OVERRIDE, POLICY, SIDECAR
from tests.fakes.policy_server import PolicyServer, ca_file
from tests.fakes.signers import pinned, signed


def bootstrap(folder: Path, sidecar: str = SIDECAR) -> Bootstrap:
    file = folder / "sidecar.yaml"
    file.write_text(sidecar)
    findings: list[object] = []
    read = from_file(file, file.read_bytes(), findings)  # type: ignore[arg-type]
    assert findings == []
    return read


async def judged(folder: Path, policy: str | None = POLICY, sidecar: str = SIDECAR) -> PolicyStart:
    if policy is not None:
        (folder / "policy.yaml").write_text(policy)
    return await governed(bootstrap(folder, sidecar), "pod", NOW)


def words(result: PolicyStart) -> set[str]:
    return {each.word for each in result.diagnoses if each.word}


def everything(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        yield str(path), path.read_bytes() if path.is_file() else b""


async def test_a_policy_that_holds_is_fine_and_notes_say_what_is_open(tmp_path: Path) -> None:
    result = await judged(tmp_path)

    assert result.snapshot.version == 7
    assert words(result) == {"policy_unsigned", "policy_unmanaged"}
    assert all(each.mark is not Mark.TROUBLE for each in result.diagnoses)


async def test_a_policy_that_breaks_a_guardrail_is_refused_with_its_line_and_the_built_in_one_goes_on(
    tmp_path: Path,
) -> None:
    result = await judged(tmp_path, sidecar=SIDECAR + OVERRIDE)

    assert words(result) == {"policy_refused"}
    assert "budget.ratio" in result.diagnoses[0].what
    assert result.snapshot.version == 0


async def test_a_policy_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    assert words(await judged(tmp_path, policy=None)) == {"policy_unreachable"}


async def test_without_any_policy_the_built_in_one_is_a_note(tmp_path: Path) -> None:
    assert words(await judged(tmp_path, sidecar=SIDECAR.replace("policy: {file: policy.yaml}\n", ""))) == {
        "policy_built_in"
    }


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("expires: 2026-11-01\n", "policy_expired"),
        ("expires: 2026-11-28\n", "policy_expires"),
        ('min_sidecar: "99.0.0"\n', "sidecar_outdated"),
    ],
)
async def test_the_life_of_a_policy_is_judged(tmp_path: Path, line: str, word: str) -> None:
    assert word in words(await judged(tmp_path, policy=POLICY + line))


async def test_a_signature_is_verified(tmp_path: Path) -> None:
    keys = {name: str(key) for name, key in pinned("ann").items()}
    sidecar = SIDECAR.replace("{file: policy.yaml}", json.dumps({"file": "policy.yaml", "keys": keys}))
    (tmp_path / "policy.yaml.sig").write_bytes(signed(POLICY.encode(), "ann"))

    well = await judged(tmp_path, sidecar=sidecar)
    ill = await judged(tmp_path, policy=POLICY + "# changed\n", sidecar=sidecar)

    assert "signed by 1 of 1 keys" in well.diagnoses[-1].what
    assert words(ill) == {"policy_refused"}


async def test_a_cache_is_read_and_never_written(tmp_path: Path) -> None:
    sidecar = SIDECAR.replace("{file: policy.yaml}", "{file: policy.yaml, cache: cache}")
    kept = Kept.of(Delivery("x", POLICY.encode(), None), 9, None)
    PolicyCache(tmp_path / "cache", "checkout").keep(
        Memory(source=str(tmp_path / "policy.yaml"), version=9, current=kept)
    )
    await judged(tmp_path, sidecar=sidecar)
    before = list(everything(tmp_path))

    result = await judged(tmp_path, sidecar=sidecar)

    assert "policy_rollback" in words(result)
    assert list(everything(tmp_path)) == before


async def test_a_cache_that_is_spoiled_is_found(tmp_path: Path) -> None:
    sidecar = SIDECAR.replace("{file: policy.yaml}", "{file: policy.yaml, cache: cache}")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "checkout.policy.json").write_text("{")

    assert "cache_spoiled" in words(await judged(tmp_path, sidecar=sidecar))


async def test_an_address_is_asked_as_the_sidecar_asks_it(tmp_path: Path) -> None:
    async with PolicyServer() as server:
        server.files = {"/policy.yaml": POLICY.encode()}
        sidecar = SIDECAR.replace("{file: policy.yaml}", f"{{url: '{server.url}', ca: {ca_file(tmp_path)}}}")

        well = await judged(tmp_path, sidecar=sidecar)
        server.files = {}
        ill = await judged(tmp_path, sidecar=sidecar)

    assert (well.snapshot.version, words(well)) == (7, {"policy_without_cache", "policy_unsigned", "policy_unmanaged"})
    assert words(ill) == {"policy_without_cache", "policy_unreachable"}
    assert {request.line.split(" ")[0] for request in server.requests} == {"GET"}
