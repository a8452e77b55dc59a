"""Every way a handshake can fail has a word of its own."""

from pathlib import Path

import pytest

from sidecar.wire.handshake import HANDSHAKE_FAILURES, HandshakeFailure, handshake_failure

REFUSALS = Path(__file__).resolve().parents[2] / "docs" / "refusals.md"


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (9, HandshakeFailure.NOT_YET_VALID),
        (10, HandshakeFailure.EXPIRED),
        (18, HandshakeFailure.SELF_SIGNED),
        (19, HandshakeFailure.UNKNOWN_CA),
        (20, HandshakeFailure.UNKNOWN_CA),
        (62, HandshakeFailure.HOSTNAME),
        (64, HandshakeFailure.HOSTNAME),
        (66, HandshakeFailure.CERTIFICATE),  # a key that is too small
    ],
)
def test_what_verification_found_decides(code: int, failure: HandshakeFailure) -> None:
    assert handshake_failure("CERTIFICATE_VERIFY_FAILED", code) is failure


@pytest.mark.parametrize(
    ("reason", "failure"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", HandshakeFailure.CLIENT_CERTIFICATE),
        ("TLSV1_ALERT_PROTOCOL_VERSION", HandshakeFailure.VERSION),
        ("WRONG_VERSION_NUMBER", HandshakeFailure.NOT_TLS),
        ("TLSV1_ALERT_NO_APPLICATION_PROTOCOL", HandshakeFailure.ALPN),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", HandshakeFailure.HANDSHAKE),
        (None, HandshakeFailure.HANDSHAKE),
    ],
)
def test_without_a_verification_the_error_decides(reason: str | None, failure: HandshakeFailure) -> None:
    assert handshake_failure(reason, None) is failure


@pytest.mark.parametrize("failure", HandshakeFailure)
def test_every_word_is_explained_to_callers_and_in_the_docs(failure: HandshakeFailure) -> None:
    assert failure.detail.startswith("the ")
    assert f"`{failure.value}`" in REFUSALS.read_text(encoding="utf-8")


def test_the_words_are_distinct() -> None:
    assert len(set(HANDSHAKE_FAILURES)) == len(HandshakeFailure)
    assert len({failure.detail for failure in HandshakeFailure}) == len(HandshakeFailure)
