import os
import socket

import pytest

from sidecar.proxy.socket_owner import owner_of


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_the_kernel_says_whose_a_socket_is(family: socket.AddressFamily, host: str) -> None:
    with socket.create_server((host, 0), family=family) as server:
        name = server.getsockname()[:2]
        with socket.create_connection(name) as client:
            assert owner_of(family, client.getsockname()[:2], name) == os.geteuid()


def test_a_socket_that_is_not_there_is_nobodys() -> None:
    assert owner_of(socket.AF_INET, ("127.0.0.1", 1), ("127.0.0.1", 2)) is None
