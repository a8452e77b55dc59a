import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from sidecar.doctor.diagnosis import Mark
from sidecar.doctor.running import Companion, companion, running
from sidecar.net import Address
from sidecar.watch.document import LiveDocument, decode
from sidecar.watch.readiness import Readiness
from tests.fakes.running import running as sidecar_running

ADMIN = Address("127.0.0.1", 16000)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Companion:
    """What a real one says."""
    folder: Path = tmp_path_factory.mktemp("sidecar")
    with sidecar_running(folder, {"payments": {"endpoints": ["http://127.0.0.1:1"]}}) as sidecar:
        found = companion(Address.parse(sidecar.admin.removeprefix("http://")), 30.0)
    assert found is not None
    return found


def words(other: Companion) -> list[str]:
    return [each.word for each in running(other.admin, other) if each.word != "sidecar_warns"]


def changed(other: Companion, **more: object) -> Companion:
    document = msgspec.to_builtins(other.document)
    return replace(other, document=decode(json.dumps(document | more).encode(), "x"))


def test_a_sidecar_that_is_well_is_fine(other: Companion) -> None:
    assert other.intercepted == 0
    assert words(other) == [""]


def test_where_none_answers_it_says_what_that_means() -> None:
    (told,) = running(ADMIN, None)

    assert told.mark is Mark.UNJUDGED


def test_what_is_not_ready_is_found_with_its_reason(other: Companion) -> None:
    told = list(running(ADMIN, replace(other, readiness=Readiness(ready=False, reasons=["draining"], warnings=["w"]))))

    assert [(each.word, each.what) for each in told[:2]] == [("sidecar_not_ready", "draining"), ("sidecar_warns", "w")]


def test_connections_past_it_are_found(other: Companion) -> None:
    told = list(running(ADMIN, changed(other, bypassing={"payments": 3})))

    assert "3 open connections of the service go straight to payments" in {each.what for each in told}
    assert words(changed(other, bypassing={"payments": 3})) == ["bypassed", ""]


def test_a_policy_that_was_not_taken_another_version_and_a_destination_that_fails_are_found(other: Companion) -> None:
    document = other.document
    assert isinstance(document, LiveDocument)
    payments = msgspec.to_builtins(document.destinations[0]) | {"level": "failing"}
    policy = {"version": 1, "digest": "x", "error": "policy.yaml:3: wrong"}

    told = changed(other, destinations=[payments], policy=policy, version="0.0.1")

    assert words(told) == ["version_differs", "policy_not_taken", "destination_degraded", ""]


def test_a_port_of_another_program_is_no_sidecar() -> None:
    assert companion(Address("127.0.0.1", 1), 1.0) is None
