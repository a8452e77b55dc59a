"""A snapshot comes with its certificates, or not at all."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from sidecar.governance.documents.finding import Finding, InvalidDocument
from sidecar.governance.loading.certified import Certified
from sidecar.governance.policy.snapshot import Snapshot, from_flags
from sidecar.governance.policy.tls import USUAL
from sidecar.governance.trust.certificates import CertificateFile, CertificateFiles, CertificateStore, Renewal
from tests.fakes.certificates import write_authority
from tests.fakes.documents import NOW
from tests.fakes.policies import Shelf, loaded


def trusting(file: Path) -> Snapshot:
    """A snapshot whose one destination is trusted by `file`."""
    snapshot = from_flags("checkout", ["payments=https://payments"], None, None, NOW)
    files = CertificateFiles(ca=CertificateFile(file, file.name, "sidecar.yaml", 6, "destinations.payments.tls.ca"))
    payments = replace(snapshot.destinations["payments"], tls=replace(USUAL, files=files))
    return replace(snapshot, destinations={"payments": payments})


class Bench:
    """`before` is in force; the shelf has what is loaded next."""

    def __init__(self, before: Snapshot) -> None:
        self.shelf = Shelf([loaded(before)])
        self.store = CertificateStore()
        self.store.adopt(before.certificate_files)
        self.heard: list[Renewal] = []
        self.certified = Certified(self.shelf, self.store, lambda: before, self.heard.append)


async def test_a_snapshot_whose_files_are_good_is_let_through_and_those_in_force_stay(tmp_path: Path) -> None:
    before, after = trusting(write_authority(tmp_path)), trusting(write_authority(tmp_path, "theirs"))
    bench = Bench(before)
    bench.shelf.loads.append(loaded(after))

    got = await bench.certified.load()

    assert got.snapshot is after
    assert len(bench.store.paths) == 2


async def test_a_snapshot_whose_files_were_never_good_is_refused_with_their_findings(tmp_path: Path) -> None:
    bench = Bench(trusting(write_authority(tmp_path)))
    bench.shelf.loads.append(loaded(trusting(tmp_path / "none.pem")))

    with pytest.raises(InvalidDocument, match=r"sidecar.yaml:6: destinations.payments.tls.ca: can not be read"):
        await bench.certified.load()


async def test_a_file_that_has_turned_bad_holds_no_document_back(tmp_path: Path) -> None:
    file = write_authority(tmp_path)
    bench = Bench(trusting(file))
    file.write_text("half a certificate")
    bench.shelf.loads.append(loaded(replace(trusting(file), digest="b")))

    got = await bench.certified.load()

    assert got.snapshot.digest == "b"
    assert [finding.field for finding in bench.heard[0].findings] == ["destinations.payments.tls.ca"]


async def test_a_document_with_a_mistake_holds_no_certificate_back(tmp_path: Path) -> None:
    file = write_authority(tmp_path)
    bench = Bench(trusting(file))
    file.write_bytes(write_authority(tmp_path, "theirs").read_bytes())
    bench.shelf.loads.append(
        InvalidDocument([Finding("policy.yaml", 3, "defaults.timeout", "must be a duration", "7")])
    )

    with pytest.raises(InvalidDocument, match="must be a duration"):
        await bench.certified.load()

    assert len(bench.heard[0].renewed) == 1


async def test_what_a_rollout_falls_back_to_needs_its_certificates_too(tmp_path: Path) -> None:
    bench = Bench(trusting(write_authority(tmp_path)))
    bench.shelf.fallback = loaded(trusting(tmp_path / "none.pem"))

    with pytest.raises(InvalidDocument, match="can not be read"):
        await bench.certified.abort(7)

    assert bench.shelf.aborted == [7]


def test_a_snapshot_needs_the_files_of_https_destinations_and_of_its_ingress(tmp_path: Path) -> None:
    assert len(trusting(tmp_path / "ca.pem").certificate_files) == 1
    assert from_flags("checkout", ["payments=http://payments"], None, None, NOW).certificate_files == ()
