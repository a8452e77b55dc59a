"""An admin token whose words the test knows, and ears for what is told of changes."""

import tempfile
from pathlib import Path

from sidecar.admin.token import AdminToken

WORDS = "s3cret-of-sixteen"
BEARER = {"Authorization": f"Bearer {WORDS}"}


def known_token() -> AdminToken:
    with tempfile.NamedTemporaryFile("w", prefix="token-", delete=False) as file:
        file.write(WORDS + "\n")
    return AdminToken(Path(file.name))


class Told:
    def __init__(self) -> None:
        self.lines: list[dict[str, object]] = []

    def __call__(self, level: int, event: str, **fields: object) -> None:
        self.lines.append({"level": level, "event": event, **fields})
