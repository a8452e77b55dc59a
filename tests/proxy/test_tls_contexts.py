"""TLS contexts follow what is in force."""

import contextlib
import ssl
from pathlib import Path

import pytest
from msgspec.structs import replace

from sidecar.governance.policy.snapshot import Snapshot, from_flags
from sidecar.governance.policy.tls import USUAL
from sidecar.governance.trust.certificates import CertificateFile, CertificateFiles, CertificateStore
from sidecar.net import Endpoint
from sidecar.proxy.codecs import Codecs
from sidecar.proxy.tls_contexts import TlsContexts
from sidecar.proxy.upstream import Upstream
from tests.fakes.certificates import HOST, authority, certificate, server_context, write_pair
from tests.fakes.documents import NOW
from tests.fakes.multiplexed import Multiplexed


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


def agreed(client: ssl.SSLContext, server: ssl.SSLContext) -> str | None:
    """The protocol that a handshake in memory comes to."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        client.wrap_bio(to_client, to_server, server_hostname=HOST),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for side in sides * 3:
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return sides[0].selected_alpn_protocol()


@pytest.mark.parametrize(
    ("spoken", "chosen"), [(("many", "http/1.1"), "many"), (("http/1.1",), "http/1.1"), ((), None)]
)
def test_endpoints_are_offered_what_the_table_of_codecs_has(spoken: tuple[str, ...], chosen: str | None) -> None:
    both = Codecs(Upstream, {"many": Multiplexed, "http/1.1": Upstream})
    server = server_context(alpn=spoken)

    offering_both = TlsContexts(CertificateStore(), both).usual.context
    offering_one = TlsContexts(CertificateStore()).usual.context
    for context in (offering_both, offering_one):
        authority().configure_trust(context)

    assert agreed(offering_both, server) == chosen
    assert agreed(offering_one, server) == ("http/1.1" if "http/1.1" in spoken else None)
