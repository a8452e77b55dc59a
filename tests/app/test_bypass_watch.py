import os
import socket
import struct

import pytest

from sidecar.app import bypass_watch
from sidecar.app.bypass_watch import BypassWatch, bypassing, table_address

_HEAD = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def row(local: str, remote: str, state: str, uid: int) -> bytes:
    return f"   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000 {uid:>5}        0 1 1\n".encode()


APP, PAYMENTS = "0107000A:9C40", "0200000A:1F90"  # 10.0.7.1:40000, 10.0.0.2:8080
SOCKETS = {"payments": {("10.0.0.2", 8080)}, "ledger": {("10.0.0.3", 8080)}}


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        (row(APP, PAYMENTS, "01", 1000), 1),
        (row(APP, PAYMENTS, "02", 1000), 1),
        (row(APP, PAYMENTS, "06", 1000), 0),  # TIME_WAIT
        (row(APP, PAYMENTS, "01", 65532), 0),  # the sidecar's own
        (row(APP, "0200000A:1F91", "01", 1000), 0),  # another port
        (row(APP, PAYMENTS, "01", 1000) + row("0100007F:3E87", APP, "01", 65532), 0),  # intercepted: 127.0.0.1:16007
        (b"nonsense\n" + row(APP, PAYMENTS, "01", 1000), 1),
    ],
)
def test_open_connections_of_others_to_governed_addresses_are_counted(rows: bytes, count: int) -> None:
    assert bypassing([_HEAD + rows], SOCKETS, {16007}, 65532) == {"payments": count, "ledger": 0}


def test_an_ipv4_address_in_the_table_of_ipv6_is_the_same_address() -> None:
    mapped = row("0" * 16 + "FFFF00000107000A:9C40", "0" * 16 + "FFFF00000200000A:1F90", "01", 1000)

    assert bypassing([_HEAD + mapped], SOCKETS, (), 65532)["payments"] == 1


@pytest.mark.parametrize("host", ["10.0.0.2", "fd00::1", "::ffff:10.0.0.2"])
def test_an_address_is_compared_as_the_kernel_writes_it(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    packed = socket.inet_pton(family, host)
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    remote = "".join(f"{word:08X}" for word in words) + ":1F90"
    address = ("10.0.0.2" if "10.0.0.2" in host else host, 8080)

    assert bypassing([_HEAD + row(APP, remote, "01", 1000)], {"payments": {address}}, (), 65532) == {"payments": 1}
    assert table_address(remote.encode()) == address


def test_a_long_table_is_looked_at_in_slices() -> None:
    rests: list[None] = []

    counts = bypassing([_HEAD + row(APP, PAYMENTS, "01", 1000) * 1600], SOCKETS, (), 65532, lambda: rests.append(None))

    assert counts["payments"] == 1600
    assert len(rests) == 3


async def test_a_real_connection_past_the_sidecar_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bypass_watch.os, "geteuid", lambda: os.getuid() + 1)  # as if the sidecar were another user
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        watch = BypassWatch(lambda: {"payments": {server.getsockname()}}, frozenset)
        await watch.sample()

    assert watch.counts == {"payments": 1}
