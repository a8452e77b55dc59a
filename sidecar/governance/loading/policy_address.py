"""Where a policy is asked for, and what is answered; apart from `remote`, which needs aiohttp."""

from dataclasses import dataclass
from pathlib import Path

from sidecar.governance.policy.delivery import Delivery


@dataclass(frozen=True, slots=True)
class PolicyAddress:
    """Where to ask and how: seconds, files, and whether the signature beside the document is wanted as well."""

    url: str
    timeout: float
    ca: Path | None
    token_file: Path | None
    signed: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server has: a delivery, or None when it is what `etag` stands for."""

    delivery: Delivery | None
    etag: str | None
