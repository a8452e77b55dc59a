"""The authority: the platform's own file in a pod, which says whose policy governs it.

Who governs is not the governed's to choose. Where the platform mounts this file, it names the policy's source, the keys
that must have signed it and how many of them; the service's own file may not.
"""

from pathlib import Path
from typing import Final

from msgspec import Struct

from sidecar.governance.documents.document import PolicySettings, read_authority
from sidecar.governance.documents.finding import Finding, InvalidDocument
from sidecar.governance.documents.yaml import Tree, parse

FIXED_PLACE: Final = Path("/etc/sidecar/authority.yaml")
"""The file that is looked for although nothing names it."""
VARIABLE: Final = "SIDECAR_AUTHORITY"
"""The environment variable that names it."""


class Authority(Struct, frozen=True):
    """The file as it was read. Paths in it are relative to its folder."""

    file: Path
    content: bytes
    tree: Tree
    policy: PolicySettings


def authority_from(file: Path, content: bytes) -> Authority:
    """Judge the file. Raises InvalidDocument with everything that is wrong."""
    findings: list[Finding] = []
    tree = parse(content, str(file))
    document = read_authority(tree, findings)
    if document is None or findings:
        raise InvalidDocument(findings)
    return Authority(file, content, tree, document.policy)


def authority_file(named: Path | None, fixed: Path = FIXED_PLACE) -> Path | None:
    """The authority that counts: the one that is `named` by flag or variable, else the one at the fixed place, if any.

    Raises InvalidDocument where both are there and are not the same file: the one who starts the process may choose the
    flag, and only the platform may choose who governs.
    """
    if not fixed.exists():
        return named
    if named is not None and named.resolve() != fixed.resolve():
        rule = f"must not name another authority than {fixed}, which the platform has mounted"
        raise InvalidDocument([Finding("--authority", None, "", rule, str(named))])
    return fixed
