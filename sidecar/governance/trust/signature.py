"""Detached signatures over the exact bytes of a document, of N of the M keys that are pinned.

A signature file has one line for each signer, JSON with two members:

    {"keyid":"ann-2026","sig":"<64 bytes of Ed25519 in base64>"}

What is signed is `retry-sidecar/signature/v1`, NUL, the kind of document (`policy`), NUL, and the SHA-256 of the
document's bytes, so that a signature made for one thing is never one for another.
"""

import base64
import binascii
import hashlib
import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Final

import msgspec
from msgspec import Struct

from sidecar.governance.documents.finding import Finding, InvalidDocument, RuleId
from sidecar.governance.documents.public_key import PublicKey
from sidecar.governance.trust.verification import verified

POLICY: Final = "policy"
"""The kind of document that a fleet policy is."""
SUFFIX: Final = ".sig"
"""A document's signature file is called like the document, and this."""

SIZE_CEILING_BYTES: Final = 64 << 10
_LINES_CEILING: Final = 100
_DOMAIN: Final = b"retry-sidecar/signature/v1"
_SIGNATURE_BYTES: Final = 64
_LACKING: Final = "signatures need the extra `signed`: pip install 'retry-sidecar[signed]'"
_RULE: Final = 'must be a line like {"keyid":"ann-2026","sig":"<base64>"}'


class LacksExtra(RuntimeError):
    """The extra that brings the cryptography is not installed; its text says how it is."""


class SignatureLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a signature file, as it is written."""

    keyid: str
    sig: str


class Signature(Struct, frozen=True):
    """The word of one key."""

    key: str
    value: bytes


def ed25519() -> ModuleType:
    """The module `governance.trust.ed25519`, imported when it is first needed. Raises LacksExtra."""
    try:
        return importlib.import_module("sidecar.governance.trust.ed25519")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "cryptography":
            raise
        raise LacksExtra(_LACKING) from None


def require_extra() -> None:
    """Raises LacksExtra where signatures can not be verified. Imports nothing."""
    if importlib.util.find_spec("cryptography") is None:
        raise LacksExtra(_LACKING)


def message(kind: str, content: bytes) -> bytes:
    """The bytes that are signed for a document of this kind."""
    return b"\0".join((_DOMAIN, kind.encode("ascii"), hashlib.sha256(content).digest()))


def sign(kind: str, content: bytes, key: str, private_pem: bytes) -> Signature:
    """Sign a document. Raises ValueError when the key is none, and LacksExtra."""
    return Signature(key, ed25519().sign(private_pem, message(kind, content)))


def signers(
    kind: str, content: bytes, signatures: Sequence[Signature], keys: Mapping[str, PublicKey]
) -> tuple[str, ...]:
    """The pinned keys that have signed exactly this, each once. Unknown keys count for nothing. Raises LacksExtra."""
    require_extra()
    signed = message(kind, content)
    known = [signature for signature in signatures if signature.key in keys]
    truths = verified([(keys[signature.key].raw, signature.value, signed) for signature in known])
    return tuple(sorted({signature.key for signature, is_true in zip(known, truths, strict=True) if is_true}))


def require(
    kind: str, content: bytes, signature: bytes | None, name: str, keys: Mapping[str, PublicKey], required: int
) -> tuple[str, ...]:
    """The keys that have signed the document `name`, `required` of them at least.

    Raises InvalidDocument, its finding saying what is lacking, and LacksExtra.
    """
    if signature is None:
        raise InvalidDocument(
            [Finding(name, None, "", f"must be signed: there is no {SUFFIX} file beside it", rule_id=RuleId.SIGNATURE)]
        )
    signatures = read(signature, name + SUFFIX)
    valid = signers(kind, content, signatures, keys)
    if len(valid) < required:
        rule = f"must be signed by {required} of {', '.join(sorted(keys))}"
        raise InvalidDocument([Finding(name, None, "", rule, _standing(signatures, valid, keys), RuleId.SIGNATURE)])
    return valid


def read(content: bytes, file: str) -> list[Signature]:
    """The lines of a signature file. Raises InvalidDocument when one is none."""
    if len(content) > SIZE_CEILING_BYTES:
        raise InvalidDocument(
            [Finding(file, None, "", "must be at most 64KiB", f"{len(content)} bytes", RuleId.BOUNDS)]
        )
    lines = content.split(b"\n")
    if lines[-1] == b"":
        del lines[-1]
    if not 1 <= len(lines) <= _LINES_CEILING:
        raise InvalidDocument(
            [Finding(file, None, "", f"must have 1 to {_LINES_CEILING} lines", str(len(lines)), RuleId.SIGNATURE)]
        )
    signatures = []
    for number, line in enumerate(lines, start=1):
        try:
            written = msgspec.json.decode(line, type=SignatureLine)
            value = base64.b64decode(written.sig, validate=True)
        except (msgspec.MsgspecError, binascii.Error, ValueError):
            raise InvalidDocument([Finding(file, number, "", _RULE, rule_id=RuleId.SIGNATURE)]) from None
        # Exactly one text for each signature: what is not its shortest form was tampered with.
        if len(value) != _SIGNATURE_BYTES or base64.b64encode(value).decode() != written.sig:
            raise InvalidDocument(
                [Finding(file, number, "sig", "must be 64 bytes in base64", rule_id=RuleId.SIGNATURE)]
            )
        signatures.append(Signature(written.keyid, value))
    return signatures


def written(signatures: Sequence[Signature]) -> bytes:
    """A signature file."""
    lines = [
        msgspec.json.encode(SignatureLine(signature.key, base64.b64encode(signature.value).decode()))
        for signature in signatures
    ]
    return b"".join(line + b"\n" for line in lines)


def _standing(signatures: Sequence[Signature], valid: Sequence[str], keys: Mapping[str, PublicKey]) -> str:
    """The signatures that are there: "ann-2026 (valid), bob-2026 (not of these bytes), eve (not pinned)"."""
    words = {}
    for signature in signatures:
        known = "not of these bytes" if signature.key in keys else "not pinned"
        words[signature.key] = "valid" if signature.key in valid else known
    shown = [f"{key[:64]!r} ({word})" for key, word in sorted(words.items())[:10]]
    return f"{len(valid)}: {', '.join(shown)}"
