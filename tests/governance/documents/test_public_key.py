import base64

import pytest

from sidecar.governance.documents.public_key import _SMALL_ORDER, PublicKey

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


P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def points_at(y: int) -> list[tuple[int, int]]:
    """The points of the curve -x² + y² = 1 + d·x²·y² with this y."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    if root * root % P != square:
        root = root * pow(2, (P - 1) // 4, P) % P
    return [(x, y) for x in {root, -root % P}] if root * root % P == square else []


def added(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    (x1, y1), (x2, y2) = a, b
    t = D * x1 * x2 * y1 * y2 % P
    return (x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P


def test_the_points_of_small_order_are_these_eight() -> None:
    points = [point for y in _SMALL_ORDER for point in points_at(y)]

    eightfold = [added(d := added(c := added(p, p), c), d) for p in points]

    assert len(set(points)) == 8
    assert set(eightfold) == {(0, 1)}


@pytest.mark.parametrize("y", sorted(_SMALL_ORDER))
@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("written_longer", [False, True])
def test_a_point_of_small_order_is_no_key(y: int, sign: int, *, written_longer: bool) -> None:
    """One that was pinned verified a signature that nobody had made."""
    encoded = y + P if written_longer and y + P < 2**255 else y
    raw = (encoded | sign << 255).to_bytes(32, "little")

    with pytest.raises(ValueError, match="must not be a point of small order"):
        PublicKey.parse(base64.b64encode(raw).decode())
