"""The sockets to listen on: those that were given to the process, by another sidecar or by systemd, or bound anew.

A socket that is given has its queue of connections with it, so that none is lost when the process behind it changes.
"""

import os
import socket
from collections.abc import Mapping, MutableMapping
from typing import Final

from sidecar.net import Address
from sidecar.proxy.listener import NoSuchAddress, bind

_ANY_IPV4: Final = "0.0.0.0"  # noqa: S104 - where `[::]` was asked for
_FIRST: Final = 3
"""sd_listen_fds(3): the first descriptor that is passed."""


class ListeningSockets:
    """`given` has sockets by address, or by role and address (`admin 127.0.0.1:16000`) where the giver knows it."""

    def __init__(self, given: Mapping[str, socket.socket], *, outlive_us: bool = False) -> None:
        """`outlive_us`: the giver, systemd, keeps them open too, so that what waits in their queues is not lost."""
        self._given = dict(given)
        self.outlive_us = outlive_us
        for sock in self._given.values():
            sock.setblocking(False)  # noqa: FBT003 - the standard library's signature

    def bind(self, address: Address, role: str = "", *, both_families: bool = False) -> socket.socket:
        """A listening socket, not yet accepting: the one that was given, or a new one. Raises PortTaken.

        With `both_families` a new one on `[::]` is for IPv4, too, and for IPv4 alone where there is no IPv6.
        """
        for name in (f"{role} {address}", str(address)):
            if (sock := self._given.pop(name, None)) is not None:
                return sock
        try:
            return bind(address, both_families=both_families)
        except NoSuchAddress:
            if not both_families or address.host != "::":
                raise
            return bind(Address(_ANY_IPV4, address.port))

    def close_unclaimed(self) -> list[str]:
        """Close those that no one has asked for; their names."""
        names = sorted(self._given)
        for sock in self._given.values():
            sock.close()
        self._given.clear()
        return names


def passed_by_systemd(environment: MutableMapping[str, str]) -> dict[str, socket.socket]:
    """The listening TCP sockets of socket activation, by address; takes its variables out of `environment`.

    sd_listen_fds(3): LISTEN_FDS descriptors from 3 on, meant for the process LISTEN_PID. Raises OSError for one that is
    no listening TCP socket.
    """
    count, process = environment.pop("LISTEN_FDS", ""), environment.pop("LISTEN_PID", "")
    environment.pop("LISTEN_FDNAMES", None)
    if process != str(os.getpid()) or not count.isdecimal():
        return {}
    return {_name(sock): sock for sock in map(_adopted, range(_FIRST, _FIRST + int(count)))}


def _adopted(descriptor: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=descriptor)
        listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise OSError(error.errno, f"LISTEN_FDS: descriptor {descriptor}: {error.strerror}") from error
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM or not listening:
        sock.close()
        raise OSError(0, f"LISTEN_FDS: descriptor {descriptor} is no listening TCP socket (ListenStream=)")
    sock.set_inheritable(False)
    return sock


def _name(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return str(Address(host, port))
