"""Certificates are files: read, judged, and read again."""

import ssl
import stat
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.governance.trust.certificates import (
    CertificateFile,
    CertificateFiles,
    Certificates,
    CertificateStore,
    read_certificates,
)
from tests.fakes.certificates import authority, certificate, write_authority, write_pair


def named(path: Path, field: str = "destinations.payments.tls.key") -> CertificateFile:
    return CertificateFile(path, path.name, "sidecar.yaml", 7, field)


def pair(folder: Path, leaf: trustme.LeafCert | None = None) -> CertificateFiles:
    cert, key = write_pair(folder, leaf or certificate("checkout"))
    return CertificateFiles(cert=named(cert, "destinations.payments.tls.cert"), key=named(key))


def refusal(files: CertificateFiles) -> list[str]:
    with pytest.raises(InvalidDocument) as caught:
        read_certificates(files)
    return str(caught.value).splitlines()


def test_a_certificate_with_its_key_and_an_authority_make_a_context(tmp_path: Path) -> None:
    files = pair(tmp_path)
    read = read_certificates(CertificateFiles(named(write_authority(tmp_path)), files.cert, files.key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    read.load_into(context)

    assert context.cert_store_stats()["x509_ca"] == 1


def test_nothing_named_is_nothing_read() -> None:
    assert read_certificates(CertificateFiles()) == Certificates()


def test_comments_of_a_bundle_may_be_in_any_language(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes("# Főtanúsítvány\n".encode() + authority().cert_pem.bytes() + authority("b").cert_pem.bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    read_certificates(CertificateFiles(ca=named(bundle))).load_into(context)

    assert context.cert_store_stats()["x509_ca"] == 2


def test_a_file_that_is_not_there_is_named_with_its_line_and_field(tmp_path: Path) -> None:
    assert refusal(CertificateFiles(ca=named(tmp_path / "none.pem", "destinations.payments.tls.ca"))) == [
        'sidecar.yaml:7: destinations.payments.tls.ca: can not be read: No such file or directory, got "none.pem"'
    ]


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    (finding,) = refusal(CertificateFiles(ca=named(tmp_path)))

    assert "can not be read: Is a directory" in finding


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "must hold a certificate in PEM, BEGIN CERTIFICATE and so on"),
        (b"hello\n", "must hold a certificate in PEM, BEGIN CERTIFICATE and so on"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "must hold whole certificates: "),
        (b"-----BEGIN CERTIFICATE-----\nMIIB", "must hold whole certificates: "),
        (b"x" * ((1 << 20) + 1), "must not be larger than 1MiB"),
    ],
)
def test_what_is_no_certificate_is_refused(tmp_path: Path, content: bytes, rule: str) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(content)

    (finding,) = refusal(CertificateFiles(ca=named(file)))

    assert rule in finding


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    files = pair(tmp_path)
    assert files.key is not None
    files.key.path.write_bytes(certificate("another").private_key_pem.bytes())

    (finding,) = refusal(files)

    assert finding.startswith("sidecar.yaml:7: destinations.payments.tls.key: must be the key of ")
    assert finding.endswith('destinations.payments.tls.cert (client.pem), got "client.key"')


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    files = pair(tmp_path)
    assert files.key is not None
    files.key.path.write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")

    (finding,) = refusal(files)

    assert "destinations.payments.tls.key: must be a private key in PEM" in finding


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    files = pair(tmp_path)
    assert files.key is not None
    key = load_pem_private_key(certificate("checkout").private_key_pem.bytes(), None)
    files.key.path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))

    (finding,) = refusal(files)

    assert "must not need a password" in finding


def test_everything_wrong_is_found_at_once(tmp_path: Path) -> None:
    absent = named(tmp_path / "none")

    assert len(refusal(CertificateFiles(absent, absent, absent))) == 3


def test_a_key_is_never_shown(tmp_path: Path) -> None:
    read = read_certificates(pair(tmp_path))

    assert "PRIVATE KEY" not in repr(read)


def test_the_same_files_named_elsewhere_are_the_same(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"

    assert CertificateFile(file, "ca.pem", "a.yaml", 1, "x") == CertificateFile(file, "./ca.pem", "b.yaml", 2, "y")


def test_the_last_good_certificate_stays_when_the_file_turns_bad_and_is_renewed_when_it_is_good_again(
    tmp_path: Path,
) -> None:
    store = CertificateStore()
    files = pair(tmp_path)
    first = store.adopt([files])
    old = store[files]

    assert files.cert is not None
    files.cert.path.write_bytes(b"half a cert")
    bad = store.renew()
    kept = store[files]
    write_pair(tmp_path, certificate("renewed"))
    good = store.renew()

    assert first.renewed == first.findings == ()
    assert [finding.field for finding in bad.findings] == ["destinations.payments.tls.cert"]
    assert kept is old
    assert good.renewed == (files,)
    assert good.findings == ()
    assert store[files] != old
    assert (store.successes, store.failures, store.findings) == (1, 1, ())


def test_a_renewal_in_two_steps_is_good_after_the_second(tmp_path: Path) -> None:
    store = CertificateStore()
    files = pair(tmp_path)
    store.adopt([files])
    other = certificate("renewed")

    assert files.cert is not None
    assert files.key is not None
    files.cert.path.write_bytes(other.cert_chain_pems[0].bytes())
    half = store.renew()
    files.key.path.write_bytes(other.private_key_pem.bytes())
    whole = store.renew()

    assert "must be the key of" in str(half.findings[0])
    assert whole.renewed == (files,)


def test_nothing_changed_is_no_renewal(tmp_path: Path) -> None:
    store = CertificateStore()
    store.adopt([pair(tmp_path)])

    assert store.renew().renewed == ()
    assert store.successes == 0


def test_files_that_were_never_good_are_an_error_and_leave_everything_as_it_was(tmp_path: Path) -> None:
    store = CertificateStore()
    files = pair(tmp_path)
    store.adopt([files])

    with pytest.raises(InvalidDocument):
        store.adopt([CertificateFiles(ca=named(tmp_path / "none"))])

    assert store.paths == tuple(file.path for file in files)


def test_reading_leaves_no_file_open(tmp_path: Path) -> None:
    files = pair(tmp_path)
    read_certificates(files)
    before = len(list(Path("/dev/fd").iterdir()))

    for _ in range(5):
        read_certificates(files)

    assert len(list(Path("/dev/fd").iterdir())) == before


def test_where_memory_can_be_no_file_a_temporary_one_only_we_can_read_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("os.memfd_create", raising=False)
    modes = []
    load = ssl.SSLContext.load_cert_chain

    def noting(context: ssl.SSLContext, cert: str, key: str, password: object) -> None:
        modes.extend(stat.S_IMODE(Path(path).stat().st_mode) for path in (cert, key))
        load(context, cert, key, password)  # type: ignore[arg-type]

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", noting)

    read_certificates(pair(tmp_path))

    assert modes == [0o600, 0o600]
