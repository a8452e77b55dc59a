"""Versions of TLS as people write them."""

import ssl

import pytest

from sidecar.governance.documents.tls_version import TlsVersion


@pytest.mark.parametrize(
    ("written", "number"),
    [("1.2", ssl.TLSVersion.TLSv1_2), (1.2, ssl.TLSVersion.TLSv1_2), (1.3, ssl.TLSVersion.TLSv1_3)],
)
def test_a_version_is_read_with_quotes_or_without(written: object, number: ssl.TLSVersion) -> None:
    assert TlsVersion.parse(written).number is number


@pytest.mark.parametrize("written", ["1.1", 1.1, 1, "TLSv1.2", True, None, ["1.2"]])
def test_what_is_no_version_that_is_spoken_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"must be 1\.2 or 1\.3"):
        TlsVersion.parse(written)
