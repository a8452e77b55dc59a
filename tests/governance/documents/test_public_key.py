import base64

import pytest

from sidecar.governance.documents.public_key import PublicKey

RAW = bytes(range(32))
WRITTEN = base64.b64encode(RAW).decode()


def test_a_key_is_its_own_text_and_its_bytes() -> None:
    key = PublicKey.parse(WRITTEN)

    assert key == WRITTEN
    assert key.raw == RAW


@pytest.mark.parametrize(
    "written",
    [
        "",
        WRITTEN[:-1],
        WRITTEN + "\n",
        " " + WRITTEN,
        base64.b64encode(RAW + b"x").decode(),
        base64.b64encode(RAW[:31]).decode(),
        WRITTEN[:-2] + "9=",  # other text, the same bytes: one key must not have two names
        base64.urlsafe_b64encode(b"\xff" * 32).decode(),
        "ü" * 44,
        17,
        None,
    ],
)
def test_what_is_no_key_names_the_rule(written: object) -> None:
    with pytest.raises(ValueError, match="must be the 32 bytes of an Ed25519 public key"):
        PublicKey.parse(written)
