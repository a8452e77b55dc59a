"""Whether signatures are their keys' own, found out in a short-lived process.

The process that serves never loads the cryptography, which takes 7 MB for good and is of use once a reload. This file
is the other one's program too, run by its path, so it imports nothing of ours.
"""

import subprocess
import sys
from collections.abc import Sequence
from typing import Final

TIMEOUT: Final = 5.0
"""Seconds that the process may take, of which it needs a tenth."""

Claim = tuple[bytes, bytes, bytes]
"""A public key of 32 bytes, a signature, and the message that it is said to be of."""


def is_signed(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` is the key's own for exactly this message. A key that is none signs nothing."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - only where it is needed, as said above
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def verified(claims: Sequence[Claim]) -> list[bool]:
    """The truth of each claim, found here where the cryptography is loaded already or no process can be had."""
    if "cryptography" not in sys.modules and sys.executable:
        try:
            return apart(claims)
        except (OSError, subprocess.SubprocessError, ValueError):
            pass
    return [is_signed(*claim) for claim in claims]


def apart(claims: Sequence[Claim]) -> list[bool]:
    """The truth of each claim, found by another process. Raises OSError, SubprocessError and ValueError."""
    asked = "".join(f"{key.hex()} {signature.hex()} {message.hex()}\n" for key, signature, message in claims)
    lines = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-I", "-S", __file__, *filter(None, sys.path)],
        input=asked,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="ascii",
        timeout=TIMEOUT,
        check=True,
    ).stdout.splitlines()
    if len(lines) != len(claims) or not {"true", "false"}.issuperset(lines):
        raise ValueError("the process that verifies signatures has not answered")
    return [line == "true" for line in lines]


def main() -> None:
    """The other process: reads a claim from each line, in hexadecimal digits. Its arguments are where to import."""
    sys.path[:] = sys.argv[1:]
    for line in sys.stdin:
        key, signature, message = map(bytes.fromhex, line.split(" "))
        sys.stdout.write("true\n" if is_signed(key, signature, message) else "false\n")


if __name__ == "__main__":
    main()
