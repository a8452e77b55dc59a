"""Two sidecars for all of the suite: one with the policy's own limits, one whose limits are tight."""

from collections.abc import Iterator

import pytest

from tests.acceptance.conformance.rig import Rig, running


@pytest.fixture(scope="session")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("sidecar")) as rig:
        yield rig


@pytest.fixture(scope="session")
def tight_sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    limits = (
        "{head_bytes: 4KiB, headers: 20, target_bytes: 1KiB, body_bytes: 64KiB, head_timeout: 300ms,"
        " idle_timeout: 600ms, connections: 8, upstream_head_bytes: 4KiB, upstream_headers: 10,"
        " upstream_idle_timeout: 300ms, tunnel_idle_timeout: 300ms, connect_timeout: 200ms}"
    )
    with running(
        tmp_path_factory.mktemp("tight"),
        timeout="300ms",
        idle="300ms",
        limits=limits,
        connect="refuse",
        via="false",
    ) as rig:
        yield rig


@pytest.fixture
def wire(sidecar: Rig) -> Iterator[Rig]:
    """The sidecar, with nothing left over from another test."""
    yield sidecar
    sidecar.settle()


@pytest.fixture
def tight(tight_sidecar: Rig) -> Iterator[Rig]:
    """The sidecar with tight limits, with nothing left over from another test."""
    yield tight_sidecar
    tight_sidecar.settle()
