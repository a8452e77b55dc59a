import os
import socket
from pathlib import Path

import pytest

from sidecar.doctor import ports as module
from sidecar.doctor.diagnosis import Diagnosis, Mark
from sidecar.doctor.ports import Holder, Holders, ports, wanted
from sidecar.net import Address
from tests.fakes.dated import free_port
from tests.fakes.documents import Loading


def judged(*addresses: Address, admin: Address | None = None) -> list[Diagnosis]:
    return list(ports(dict.fromkeys(addresses, "egress.listen"), admin))


def test_a_free_port_is_free_and_stays_so() -> None:
    address = Address("127.0.0.1", free_port())

    (told,) = judged(address)

    assert (told.mark, told.what) == (Mark.FINE, f"free: {address}")
    socket.create_server((address.host, address.port)).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_is_held_names_who_holds_it(host: str) -> None:
    with socket.create_server((host, 0)) as listener:
        (told,) = judged(Address("127.0.0.1", listener.getsockname()[1]))

    assert told.word == "port_taken"
    assert f"pid {os.getpid()} (" in told.what
    assert f"kill {os.getpid()}" in told.cure


def test_what_the_process_of_the_sidecar_that_answers_holds_is_as_it_should_be() -> None:
    with socket.create_server(("127.0.0.1", 0)) as admin, socket.create_server(("127.0.0.1", 0)) as egress:
        addresses = [Address(*sock.getsockname()) for sock in (admin, egress)]

        (told,) = judged(*addresses, admin=addresses[0])

    assert told.mark is Mark.FINE
    assert told.what == f"held by the sidecar that runs, pid {os.getpid()}: {addresses[0]} {addresses[1]}"


def test_an_address_of_another_machine_can_not_be_listened_on() -> None:
    (told,) = judged(Address("192.0.2.1", 16001))

    assert told.word == "address_absent"


@pytest.mark.parametrize(("number", "word"), [(13, "port_forbidden"), (99, "ipv6_absent")])
def test_what_the_system_refuses_has_a_word(monkeypatch: pytest.MonkeyPatch, number: int, word: str) -> None:
    monkeypatch.setattr(module, "_refusal", lambda address, **_: number if ":" in address.host else None)

    told = judged(Address("127.0.0.1", 80), Address("::1", 80))

    assert word in {each.word for each in told}


def test_a_process_of_another_user_is_told_by_its_uid(tmp_path: Path) -> None:
    table = tmp_path / "tcp"
    row = "   0: 0100007F:3E81 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1\n"
    table.write_text(f"head\n{row}")

    holder = Holders([table], tmp_path).of(Address("127.0.0.1", 16001))

    assert holder == Holder(1000)
    assert str(holder) == "a process of uid 1000 that can not be seen from here"


@pytest.mark.parametrize(
    ("command", "is_one"),
    [("python -m sidecar run --config x", True), ("/opt/sidecar/bin/sidecar run", True), ("nginx run sidecar", False)],
)
def test_another_sidecar_is_known_by_its_command(command: str, is_one: bool) -> None:
    assert Holder(0, 7, command).is_sidecar is is_one


def test_every_address_of_a_snapshot_is_wanted(loading: Loading) -> None:
    document = """\
service: checkout
admin: {listen: "127.0.0.1:1", metrics_listen: "0.0.0.0:2"}
policy: {file: policy.yaml}
egress: {listen: ["127.0.0.1:3"], transparent: {listen: ["127.0.0.1:4"]}}
destinations: {payments: {endpoints: ["http://payments:8080"], listen: "127.0.0.1:5"}}
ingress: {listen: "0.0.0.0:6", app: "http://127.0.0.1:7"}
"""

    assert {address.port for address in wanted(loading(sidecar=document))} == {1, 2, 3, 4, 5, 6}
