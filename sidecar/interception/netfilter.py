"""Writes a redirection into the kernel with nft or iptables, or without any tool, and takes it out again."""

import errno
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sidecar.interception import netlink
from sidecar.interception.netlink import KernelRefused
from sidecar.interception.redirection import CHAIN, IPTABLES_JUMP, NFT_REMOVAL, TABLE, Redirection

_TIMEOUT_SECONDS: Final = 30
_IPV6_INTERFACES: Final = Path("/proc/net/if_inet6")
_TOOLS: Final = {4: "iptables", 6: "ip6tables"}


class RulesRefused(Exception):
    """The rules can not be written; the text says why, and what is missing."""


def backend_here() -> str:
    """`nft` or `iptables`, whichever is installed; `netlink`, the kernel itself, where neither is."""
    return next((tool for tool in ("nft", "iptables") if shutil.which(tool)), "netlink")


def write(redirection: Redirection, backend: str) -> None:
    """Put the rules in force, in place of earlier ones of ours. Raises RulesRefused; other rules are left alone."""
    if backend == "nft":
        _run(["nft", "-f", "-"], redirection.nft)
        return
    if backend == "netlink":
        with _told():
            netlink.write(redirection)
        return
    for version in _versions():
        tool = _TOOLS[version]
        _run([f"{tool}-restore", "--wait", "--noflush"], redirection.iptables(version))
        if not _succeeds([tool, "--wait", "-t", "nat", "-C", *IPTABLES_JUMP]):
            _run([tool, "--wait", "-t", "nat", "-A", *IPTABLES_JUMP])


def remove(backend: str) -> None:
    """Take our rules out, if there are any. Raises RulesRefused."""
    if backend == "nft":
        _run(["nft", "-f", "-"], NFT_REMOVAL)
        return
    if backend == "netlink":
        with _told():
            netlink.remove()
        return
    for version in _versions():
        nat = [_TOOLS[version], "--wait", "-t", "nat"]
        while _succeeds([*nat, "-C", *IPTABLES_JUMP]):
            _run([*nat, "-D", *IPTABLES_JUMP])
        if _succeeds([*nat, "-L", CHAIN, "-n"]):
            _run([*nat, "-F", CHAIN])
            _run([*nat, "-X", CHAIN])


def rules_here() -> str | None:
    """Our rules as the tool that is installed lists them; None where there are none. Raises RulesRefused."""
    backend = backend_here()
    if backend == "netlink":
        raise RulesRefused("neither nft nor iptables is installed")
    if backend == "nft":
        listed = _called(["nft", "list", "tables"], None)
        _require(listed, "nft")
        if f"table inet {TABLE}\n" not in listed.stdout:
            return None
        listed = _called(["nft", "list", "table", "inet", TABLE], None)
    else:
        _require(_called([_TOOLS[4], "--wait", "-t", "nat", "-S", IPTABLES_JUMP[0]], None), _TOOLS[4])
        listed = _called([_TOOLS[4], "--wait", "-t", "nat", "-S", CHAIN], None)
    return None if listed.returncode else listed.stdout


@contextmanager
def _told() -> Iterator[None]:
    """Says of an error of the kernel what is missing."""
    try:
        yield
    except KernelRefused as error:
        cure = "; it needs the capability NET_ADMIN" if error.errno == errno.EPERM else ""
        raise RulesRefused(f"the kernel: {error.strerror}{cure}") from error


def _versions() -> list[int]:
    """Those of IP that this network namespace speaks."""
    try:
        return [4, 6] if _IPV6_INTERFACES.read_text(encoding="ascii").strip() else [4]
    except OSError:
        return [4]


def _succeeds(command: list[str]) -> bool:
    return _called(command, None).returncode == 0


def _run(command: list[str], text: str | None = None) -> None:
    _require(_called(command, text), command[0])


def _require(done: subprocess.CompletedProcess[str], tool: str) -> None:
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        cure = "; it needs the capability NET_ADMIN" if "not permitted" in said or "must be root" in said else ""
        raise RulesRefused(f"{tool}: {said}{cure}")


def _called(command: list[str], text: str | None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - tools of the system, found by name as an administrator would
            command, input=text, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except FileNotFoundError:
        raise RulesRefused(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise RulesRefused(f"{command[0]} did not end within {_TIMEOUT_SECONDS} s") from None
