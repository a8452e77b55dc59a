"""People with keys, for tests of who signs what."""

import base64
from dataclasses import dataclass
from functools import cache

from sidecar.governance.documents.public_key import PublicKey
from sidecar.governance.trust import ed25519, signature
from sidecar.governance.trust.signature import POLICY, Signature


@dataclass(frozen=True)
class Signer:
    name: str
    private: bytes
    public: PublicKey

    def sign(self, content: bytes, kind: str = POLICY, name: str | None = None) -> Signature:
        return signature.sign(kind, content, name or self.name, self.private)


@cache
def signer(name: str) -> Signer:
    """The same key for the same name, within one run."""
    private, public = ed25519.generate()
    return Signer(name, private, PublicKey.parse(base64.b64encode(ed25519.public_bytes(public)).decode()))


def pinned(*names: str) -> dict[str, PublicKey]:
    return {name: signer(name).public for name in names}


def signed(content: bytes, *names: str) -> bytes:
    """The signature file of these signers."""
    return signature.written([signer(name).sign(content) for name in names])
