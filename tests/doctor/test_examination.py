import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sidecar.doctor.diagnosis import Check, Diagnosis, Mark
from sidecar.doctor.examination import UNSEEN, Subject, Unexaminable, examine, worst
from sidecar.governance.policy.bootstrap import BootSource
from tests.fakes.certificates import certificate, server_context, write_authority
from tests.fakes.dated import dated, free_port


def document(folder: Path, endpoint: str, **more: object) -> Path:
    (folder / "policy.yaml").write_text('{"version": 1, "owner": "platform"}')
    file = folder / "sidecar.yaml"
    egress = {"listen": [f"127.0.0.1:{free_port()}"]}
    destinations = {"payments": {"endpoints": [endpoint], **more.pop("payments", {})}}  # type: ignore[dict-item]
    common = {"service": "checkout", "admin": {"listen": f"127.0.0.1:{free_port()}"}, "policy": {"file": "policy.yaml"}}
    file.write_text(json.dumps(common | {"egress": egress, "destinations": destinations} | more))
    return file


def examined(file: Path) -> list[Diagnosis]:
    return examine(Subject(BootSource(file), None, "pod"), 30.0, datetime.now(UTC))


def troubles(diagnoses: list[Diagnosis]) -> list[str]:
    return [each.word for each in diagnoses if each.mark is Mark.TROUBLE]


def files(folder: Path) -> Iterator[tuple[str, int, bytes]]:
    for path in sorted(folder.rglob("*")):
        yield str(path), path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b""


def test_what_is_well_has_no_trouble_and_nothing_is_written(tmp_path: Path) -> None:
    with dated(tls=server_context(certificate("localhost", ends=2100))) as (port, heads):
        tls = {"tls": {"ca": str(write_authority(tmp_path))}}
        file = document(tmp_path, f"https://localhost:{port}", payments=tls)
        before = list(files(tmp_path))

        told = examined(file)

    assert troubles(told) == []
    assert worst(told) == 0
    assert {each.check for each in told} >= set(Check) - {Check.STORE, Check.INTERCEPTION}
    assert list(files(tmp_path)) == before
    assert [head.split(b" ")[0] for head in heads] == [b"OPTIONS"]


def test_several_troubles_are_all_found_at_once(tmp_path: Path) -> None:
    with dated(ahead=7200) as (port, _):
        file = document(tmp_path, f"http://127.0.0.1:{port}", ingress={"app": f"http://127.0.0.1:{free_port()}"})
        (tmp_path / "policy.yaml").write_text('{"version": 1}')

        told = examined(file)

    assert troubles(told) == ["policy_refused", "connect_refused", "clock_off"]
    assert worst(told) == 1


def test_a_wrong_document_is_a_finding_and_the_rest_is_told_as_not_looked_at(tmp_path: Path) -> None:
    file = document(tmp_path, "nowhere")

    told = examined(file)

    assert troubles(told) == ["config_invalid"]
    assert {each.check for each in told if each.what == UNSEEN} == set(Check) - {Check.CONFIG}


def test_a_document_that_is_not_there_can_not_be_examined(tmp_path: Path) -> None:
    with pytest.raises(Unexaminable, match=r"sidecar.yaml: can not be read: No such file"):
        examined(tmp_path / "sidecar.yaml")


@pytest.mark.parametrize(
    ("store", "word"),
    [
        ({"sqlite": "keys.db"}, "store_embedded"),
        ({"redis": "redis://127.0.0.1:1"}, "store_unreachable"),
        ({"postgres": "postgresql://127.0.0.1:1/keys"}, "store_unreachable"),
    ],
)
def test_the_store_of_keys_is_judged_by_its_kind(tmp_path: Path, store: dict[str, str], word: str) -> None:
    with dated() as (port, _):
        ingress = {"app": f"http://127.0.0.1:{port}", "idempotency": {"store": store}}
        told = examined(document(tmp_path, f"http://127.0.0.1:{port}", ingress=ingress))

    assert word in [each.word for each in told]
