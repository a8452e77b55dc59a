import asyncio
import errno
import socket
from pathlib import Path

import pytest
from msgspec.structs import replace

from sidecar.admin.token import AdminToken
from sidecar.app import listening_sockets
from sidecar.app.control_plane import ControlPlane
from sidecar.app.listening_sockets import ListeningSockets
from sidecar.net import Address
from sidecar.proxy import listener
from sidecar.proxy.listener import NoSuchAddress, PortTaken
from tests.admin.states import SetState
from tests.admin.tokens import Told
from tests.app.processes import running, snapshot_for
from tests.fakes.waiting import turn

SNAPSHOT = snapshot_for(9)
BOTH = replace(SNAPSHOT, metrics_listen=Address("127.0.0.1", 0))


def control_plane(token: AdminToken | None = None) -> ControlPlane:
    return ControlPlane(SetState(), token or AdminToken(None), lambda: 0.0, Told())


async def status_of(address: Address, path: str) -> int:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
    try:
        return int((await asyncio.wait_for(reader.read(-1), 10)).split(b" ", 2)[1])
    finally:
        writer.close()


async def test_who_asks_before_it_is_served_waits_and_is_answered() -> None:
    plane = control_plane()
    admin, metrics = plane.bind(BOTH, ListeningSockets({}))
    asked = [asyncio.create_task(status_of(address, "/livez")) for address in (admin, metrics)]
    await turn()
    await plane.open()

    try:
        assert await asyncio.gather(*asked) == [200, 200]
        assert await status_of(admin, "/destinations") == 200
        assert await status_of(metrics, "/destinations") == 404
    finally:
        await plane.close()


@pytest.mark.parametrize("field", ["admin.listen", "admin.metrics_listen"])
async def test_a_port_in_use_is_an_error_that_names_the_field_and_the_address(field: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        snapshot = replace(BOTH, **{"admin" if field == "admin.listen" else "metrics_listen": address})
        plane = control_plane()

        with pytest.raises(OSError, match=rf"{field}: can not listen on {address}: the port is in use") as caught:
            plane.bind(snapshot, ListeningSockets({}))
        await plane.close()

    assert caught.value.errno == errno.EADDRINUSE


async def test_the_metrics_of_every_address_are_of_both_families() -> None:
    plane = control_plane()
    port = _free_in_both_families()
    plane.bind(replace(SNAPSHOT, metrics_listen=Address("::", port)), ListeningSockets({}))
    await plane.open()

    try:
        assert [await status_of(Address(host, port), "/livez") for host in ("127.0.0.1", "::1")] == [200, 200]
    finally:
        await plane.close()


def _free_in_both_families() -> int:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as sock:
        port: int = sock.getsockname()[1]
        return port


async def test_without_ipv6_they_are_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_ipv6(address: Address, **more: bool) -> socket.socket:
        if ":" in address.host:
            raise NoSuchAddress(errno.EAFNOSUPPORT, "no IPv6")
        return listener.bind(address, **more)

    monkeypatch.setattr(listening_sockets, "bind", without_ipv6)
    plane = control_plane()

    addresses = plane.bind(replace(SNAPSHOT, metrics_listen=Address("::", 0)), ListeningSockets({}))
    await plane.close()

    assert addresses[1].host == "0.0.0.0"
    with pytest.raises(PortTaken, match=r"admin\.listen: no IPv6"):
        control_plane().bind(replace(SNAPSHOT, admin=Address("::", 0)), ListeningSockets({}))


async def test_an_address_that_is_not_ours_is_an_error_that_names_it() -> None:
    plane = control_plane()

    with pytest.raises(OSError, match=r"admin\.listen: can not listen on 192\.0\.2\.1:16000"):
        plane.bind(replace(SNAPSHOT, admin=Address("192.0.2.1", 16000)), ListeningSockets({}))

    await plane.close()


async def test_a_token_that_can_not_be_used_is_an_error_before_anything_is_served(tmp_path: Path) -> None:
    plane = control_plane(AdminToken(tmp_path / "absent.token"))

    with pytest.raises(OSError, match=r"absent\.token"):
        plane.bind(SNAPSHOT, ListeningSockets({}))

    await plane.close()


@pytest.mark.parametrize("opened", [False, True])
async def test_at_the_end_nothing_listens_and_the_token_is_taken_away(*, opened: bool) -> None:
    token = AdminToken(None)
    plane = control_plane(token)
    (admin,) = plane.bind(SNAPSHOT, ListeningSockets({}))
    file = token.file
    assert file is not None
    if opened:
        await plane.open()

    await plane.close()

    assert not file.exists()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(admin.host, admin.port)


async def test_a_sidecar_is_ready_only_once_its_admin_plane_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ControlPlane.open
    before: list[object] = []

    async def open_plane(plane: ControlPlane) -> None:
        before.extend(plane._state.ready())
        await whole(plane)

    monkeypatch.setattr(ControlPlane, "open", open_plane)

    async with running(SNAPSHOT, tmp_path) as sidecar:
        after = sidecar.state.ready()

    assert before == ["starting: not every port is bound yet"]
    assert after == []
