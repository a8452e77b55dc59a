import os
import socket

import pytest

from sidecar.app.listening_sockets import ListeningSockets, passed_by_systemd
from sidecar.net import Address
from sidecar.proxy.listener import PortTaken


def listening() -> tuple[socket.socket, Address]:
    sock = socket.create_server(("127.0.0.1", 0))
    return sock, Address("127.0.0.1", sock.getsockname()[1])


def test_a_socket_that_was_given_is_used_instead_of_a_new_one() -> None:
    sock, address = listening()
    with sock:
        sockets = ListeningSockets({str(address): sock})

        assert sockets.bind(address) is sock
        assert sock.getblocking() is False
        with pytest.raises(PortTaken):
            sockets.bind(address)


def test_the_one_that_was_given_for_the_role_goes_first() -> None:
    (admin, address), (other, _) = listening(), listening()
    with admin, other:
        sockets = ListeningSockets({f"admin.listen {address}": admin, str(address): other})

        assert sockets.bind(address, "admin.listen") is admin
        assert sockets.bind(address) is other


def test_an_address_that_none_was_given_for_is_bound() -> None:
    with ListeningSockets({}).bind(Address("127.0.0.1", 0)) as sock:
        assert sock.getsockname()[1] > 0


def test_those_that_no_one_asked_for_are_named_and_closed() -> None:
    sock, address = listening()
    sockets = ListeningSockets({str(address): sock})

    assert sockets.close_unclaimed() == [str(address)]
    assert sock.fileno() == -1


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
        {"LISTEN_FDS": "x", "LISTEN_PID": str(os.getpid())},
    ],
)
def test_descriptors_that_are_meant_for_another_process_are_not_touched(environment: dict[str, str]) -> None:
    assert passed_by_systemd(environment) == {}
    assert environment == {}


def test_descriptors_of_systemd_are_adopted_by_their_address(monkeypatch: pytest.MonkeyPatch) -> None:
    sock, address = listening()
    monkeypatch.setattr("sidecar.app.listening_sockets._FIRST", sock.detach())

    (found,) = passed_by_systemd({"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}).items()

    with found[1]:
        assert found[0] == str(address)
        assert found[1].get_inheritable() is False


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_one_that_does_not_listen_is_an_error(monkeypatch: pytest.MonkeyPatch, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as sock:
        monkeypatch.setattr("sidecar.app.listening_sockets._FIRST", os.dup(sock.fileno()))

        with pytest.raises(OSError, match=r"LISTEN_FDS: descriptor \d+ is no listening TCP socket"):
            passed_by_systemd({"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())})
