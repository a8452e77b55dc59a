import ssl
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.doctor.validity import validities
from tests.fakes.certificates import authority, certificate


@pytest.mark.parametrize(("begins", "ends"), [(2000, 2010), (1990, 2049), (2020, 2051), (2050, 2100)])
def test_a_certificate_says_from_when_until_when(begins: int, ends: int) -> None:
    leaf = certificate("localhost", begins=begins, ends=ends)

    (life,) = validities(leaf.cert_chain_pems[0].bytes())

    assert life.begins == datetime(begins, 1, 1, tzinfo=UTC)
    assert life.ends == datetime(ends, 1, 1, tzinfo=UTC)


def test_an_authority_has_the_life_that_the_standard_library_reads() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority().cert_pem.bytes().decode())
    (known,) = context.get_ca_certs()

    (life,) = validities(authority().cert_pem.bytes())

    assert life.begins.timestamp() == ssl.cert_time_to_seconds(str(known["notBefore"]))
    assert life.ends.timestamp() == ssl.cert_time_to_seconds(str(known["notAfter"]))


def test_each_certificate_of_a_bundle_is_read_and_what_is_none_is_left_out() -> None:
    broken = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    bundle = b"# comment\n" + certificate().cert_chain_pems[0].bytes() + broken + authority().cert_pem.bytes()

    assert len(validities(bundle)) == 2


@given(st.binary(max_size=200))
def test_no_bytes_are_an_exception(content: bytes) -> None:
    assert validities(b"-----BEGIN CERTIFICATE-----" + content + b"-----END CERTIFICATE-----") == []
