"""The address of a policy, and the answer to it; apart from `remote`, which needs aiohttp."""

from pathlib import Path

from msgspec import Struct

from sidecar.governance.policy.delivery import Delivery


class PolicyAddress(Struct, frozen=True):
    """The request for a policy: seconds, files, and whether the signature beside the document is wanted as well."""

    url: str
    timeout: float
    ca: Path | None
    token_file: Path | None
    signed: bool


class Answer(Struct, frozen=True):
    """The server's answer: a delivery, or None when it is the one that `etag` stands for."""

    delivery: Delivery | None
    etag: str | None
