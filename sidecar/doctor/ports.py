"""Whether the sidecar could listen where it is told to, and who does instead."""

import errno
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar.app.bypass_watch import TABLES, table_address
from sidecar.doctor.diagnosis import Check, Diagnosis, fine, found
from sidecar.governance.policy.snapshot import Snapshot
from sidecar.net import Address

_PROC: Final = Path("/proc")
_LISTEN: Final = b"0A"
"""TCP_LISTEN, in include/net/tcp_states.h."""
_SHOWN: Final = 80
_ABSENT: Final = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


@dataclass(frozen=True, slots=True)
class Holder:
    """The listener on a port. `pid` None: a process that can not be looked into from here, of the user `uid`."""

    uid: int
    pid: int | None = None
    command: str = ""

    def __str__(self) -> str:
        if self.pid is None:
            return f"a process of uid {self.uid} that can not be seen from here"
        name = "another sidecar, " if self.is_sidecar else ""
        return f"{name}pid {self.pid} ({self.command})"

    @property
    def is_sidecar(self) -> bool:
        """Whether its command line is that of `sidecar run`."""
        words = self.command.split()
        return "run" in words and any(word.rpartition("/")[2] == "sidecar" for word in words[: words.index("run")])


def wanted(snapshot: Snapshot) -> dict[Address, str]:
    """The addresses that a sidecar listens on, each with its setting; ports that the system chooses are left out."""
    addresses: dict[Address, str] = {snapshot.admin: "admin.listen"}
    if snapshot.metrics_listen is not None:
        addresses[snapshot.metrics_listen] = "admin.metrics_listen"
    for name, destination in snapshot.destinations.items():
        addresses |= dict.fromkeys(destination.listen, f"destinations.{name}.listen")
    addresses |= dict.fromkeys(snapshot.egress.transparent, "egress.transparent.listen")
    addresses |= dict.fromkeys(snapshot.egress.listen, "egress.listen")
    if snapshot.ingress is not None:
        addresses[snapshot.ingress.listen] = "ingress.listen"
    return {address: setting for address, setting in addresses.items() if address.port}


def ports(addresses: Mapping[Address, str], admin: Address | None) -> Iterator[Diagnosis]:
    """Judge each address. `admin` is where a sidecar answered just now: what its process holds is as it should be."""
    holders = Holders()
    ours = None if admin is None else holders.of(admin)
    free, held = [], []
    for address, setting in addresses.items():
        refused = _refusal(address, both_families=setting == "admin.metrics_listen")
        if refused is None:
            free.append(address)
        elif refused == errno.EADDRINUSE:
            holder = holders.of(address)
            if admin is not None and _same(holder, ours):
                held.append(address)
            else:
                yield _taken(address, setting, holder)
        elif refused in _ABSENT:
            yield _absent(address, setting, addresses)
        else:
            yield _forbidden(address, setting)
    if free:
        yield fine(Check.PORTS, f"free: {' '.join(free)}")
    if held:
        who = "the sidecar that runs" if ours is None or ours.pid is None else f"the sidecar that runs, pid {ours.pid}"
        yield fine(Check.PORTS, f"held by {who}: {' '.join(held)}")


class Holders:
    """The listening sockets of this network namespace, and the processes that have them, as of now."""

    def __init__(self, tables: Sequence[Path] = TABLES, proc: Path = _PROC) -> None:
        self._sockets = list(_listening(tables))
        self._pids = _pids(proc, {inode for *_, inode in self._sockets})
        self._proc = proc

    def of(self, address: Address) -> Holder | None:
        """The listener there, or on all addresses at that port; None where the system does not say."""
        rows = [row for row in self._sockets if row[0].port == address.port]
        exact = [row for row in rows if row[0].host == address.host]
        for _, uid, inode in exact or [row for row in rows if row[0].unspecified or address.unspecified]:
            pid = self._pids.get(inode)
            return Holder(uid, pid, "" if pid is None else self._command(pid))
        return None

    def _command(self, pid: int) -> str:
        try:
            words = (self._proc / str(pid) / "cmdline").read_bytes().split(b"\0")
        except OSError:
            return ""
        return b" ".join(filter(None, words)).decode("utf-8", "replace")[:_SHOWN]


def _listening(tables: Sequence[Path]) -> Iterator[tuple[Address, int, str]]:
    """Address, uid and inode."""
    for table in tables:
        try:
            lines = table.read_bytes().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTEN:
                yield Address(*table_address(fields[1])), int(fields[7]), fields[9].decode("ascii")


def _pids(proc: Path, inodes: set[str]) -> dict[str, int]:
    """The process of each socket, as far as this user may look."""
    found_pids: dict[str, int] = {}
    try:
        folders = [folder for folder in proc.iterdir() if folder.name.isdecimal()]
    except OSError:
        return found_pids
    for folder in folders:
        with suppress(OSError):  # of another user, or gone
            for each in (folder / "fd").iterdir():
                with suppress(FileNotFoundError):  # closed meanwhile
                    link = str(each.readlink())
                    if link.startswith("socket:[") and (inode := link[8:-1]) in inodes:
                        found_pids.setdefault(inode, int(folder.name))
    return found_pids


def _refusal(address: Address, *, both_families: bool) -> int | None:
    """The reason why the address can not be listened on; None where it can. It is bound for an instant only."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                both = both_families and address.unspecified
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not both))
            sock.bind((address.host, address.port))
    except OSError as error:
        return error.errno or errno.EINVAL
    return None


def _same(holder: Holder | None, ours: Holder | None) -> bool:
    if holder is None or ours is None:
        return True  # the system does not say who listens, and a sidecar answers
    return (holder.pid, holder.uid) == (ours.pid, ours.uid)


def _taken(address: Address, setting: str, holder: Holder | None) -> Diagnosis:
    who = "another process" if holder is None else str(holder)
    kill = "" if holder is None or holder.pid is None else f", or end it: kill {holder.pid}"
    return found("port_taken", f"{setting} {address}: {who} listens there", f"give {setting} another port{kill}")


def _forbidden(address: Address, setting: str) -> Diagnosis:
    cure = f"give {setting} a port from 1024 up, or allow it: sysctl net.ipv4.ip_unprivileged_port_start={address.port}"
    return found("port_forbidden", f"{setting} {address}: this user may not listen there", cure)


def _absent(address: Address, setting: str, addresses: Mapping[Address, str]) -> Diagnosis:
    beside = setting == "admin.metrics_listen" and address.unspecified
    beside |= any(other == setting and ":" not in each.host for each, other in addresses.items())
    if ":" in address.host and beside:
        return found(
            "ipv6_absent", f"{setting} {address}: this machine has no IPv6", f"leave {address} out of {setting}"
        )
    return found(
        "address_absent",
        f"{setting} {address}: this machine has no such address",
        f"give {setting} an address of its own",
    )
