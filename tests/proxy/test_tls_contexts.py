"""TLS contexts follow what is in force."""

import ssl
from dataclasses import replace
from pathlib import Path

from sidecar.governance.policy.snapshot import Snapshot, from_flags
from sidecar.governance.policy.tls import USUAL
from sidecar.governance.trust.certificates import CertificateFile, CertificateFiles, CertificateStore
from sidecar.net import Endpoint
from sidecar.proxy.tls_contexts import TlsContexts
from tests.fakes.certificates import certificate, write_pair
from tests.fakes.documents import NOW


def snapshot_of(**destinations: object) -> Snapshot:
    """Destinations at https endpoints, each spoken to as it is given."""
    snapshot = from_flags("checkout", [f"{name}=https://{name}.example" for name in destinations], None, None, NOW)
    return replace(
        snapshot,
        destinations={name: replace(snapshot.destinations[name], tls=tls) for name, tls in destinations.items()},
    )


def following(snapshot: Snapshot) -> TlsContexts:
    store = CertificateStore()
    store.adopt(destination.tls.files for destination in snapshot.destinations.values())
    tls_contexts = TlsContexts(store)
    tls_contexts.follow(snapshot)
    return tls_contexts


def test_destinations_that_are_spoken_to_alike_share_a_context() -> None:
    tls_contexts = following(snapshot_of(a=USUAL, b=USUAL, c=replace(USUAL, server_name="c.internal")))

    assert tls_contexts.client("a") is tls_contexts.client("b") is tls_contexts.usual
    assert tls_contexts.client("c") is not tls_contexts.client("a")
    assert tls_contexts.client("c").server_name == "c.internal"


def test_everything_is_verified_unless_an_exception_lets_it_pass() -> None:
    tls_contexts = following(snapshot_of(a=USUAL, b=replace(USUAL, verify=False)))

    verified, unverified = tls_contexts.client("a").context, tls_contexts.client("b").context

    assert (verified.verify_mode, verified.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert verified.minimum_version == ssl.TLSVersion.TLSv1_2
    assert (unverified.verify_mode, unverified.check_hostname) == (ssl.CERT_NONE, False)


def test_what_is_said_as_before_is_spoken_as_before() -> None:
    snapshot = snapshot_of(a=USUAL)
    tls_contexts = following(snapshot)
    before = tls_contexts.client("a")

    assert tls_contexts.follow(snapshot) == set()
    assert tls_contexts.client("a") is before


def test_the_end_of_an_exception_changes_how_the_destination_is_spoken_to_and_no_other() -> None:
    during, after = snapshot_of(a=replace(USUAL, verify=False), b=USUAL), snapshot_of(a=USUAL, b=USUAL)
    tls_contexts = following(during)

    assert tls_contexts.follow(after) == {"a"}
    assert tls_contexts.client("a").context.verify_mode == ssl.CERT_REQUIRED


def test_a_destination_that_is_no_longer_spoken_to_in_tls_is_told_of() -> None:
    snapshot = snapshot_of(a=USUAL)
    tls_contexts = following(snapshot)
    plain = replace(snapshot.destinations["a"], endpoints=(Endpoint("http", "a.example", 80),))

    assert tls_contexts.follow(replace(snapshot, destinations={"a": plain})) == {"a"}


def test_a_renewed_certificate_makes_a_context_anew(tmp_path: Path) -> None:
    cert, key = write_pair(tmp_path, certificate("first"))
    files = CertificateFiles(
        cert=CertificateFile(cert, "c", "sidecar.yaml", 1, "cert"),
        key=CertificateFile(key, "k", "sidecar.yaml", 1, "key"),
    )
    snapshot = snapshot_of(a=replace(USUAL, files=files), b=USUAL)
    store = CertificateStore()
    store.adopt([files, USUAL.files])
    tls_contexts = TlsContexts(store)
    tls_contexts.follow(snapshot)
    before = tls_contexts.client("a")

    write_pair(tmp_path, certificate("second"))
    store.renew()

    assert tls_contexts.follow(snapshot) == {"a"}
    assert tls_contexts.client("a") is not before
