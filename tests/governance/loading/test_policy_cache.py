import os
from pathlib import Path

import pytest

from sidecar.governance.loading import policy_cache
from sidecar.governance.loading.policy_cache import CacheFault, Kept, Memory, PolicyCache
from sidecar.governance.policy.delivery import Delivery

SOURCE = "https://policy.internal/fleet.yaml"
DELIVERY = Delivery(SOURCE, "\ufeffversion: 7\r\nowner: plätform\n".encode(), b'{"keyid":"ann","sig":"AA=="}\n')


@pytest.fixture
def cache(tmp_path: Path) -> PolicyCache:
    return PolicyCache(tmp_path / "state" / "policy", "shop/checkout")


def memory(version: int = 7) -> Memory:
    return Memory(source=SOURCE, version=version, aborted=[6], current=Kept.of(DELIVERY, version, '"a"'))


def file_of(folder: Path) -> Path:
    (file,) = (folder / "state" / "policy").iterdir()
    return file


def test_nothing_is_remembered_at_first(cache: PolicyCache) -> None:
    assert cache.recall(SOURCE) is None


def test_what_is_kept_is_recalled_to_the_byte(cache: PolicyCache) -> None:
    cache.keep(memory())

    recalled = cache.recall(SOURCE)

    assert recalled == memory()
    assert recalled is not None
    assert recalled.current is not None
    assert recalled.current.delivery == DELIVERY


def test_another_source_remembers_nothing(cache: PolicyCache) -> None:
    cache.keep(memory())

    assert cache.recall("https://elsewhere.internal/fleet.yaml") is None


def test_services_do_not_share_a_file(cache: PolicyCache, tmp_path: Path) -> None:
    cache.keep(memory())

    assert PolicyCache(tmp_path / "state" / "policy", "shop").recall(SOURCE) is None


def test_only_its_owner_may_read_it(cache: PolicyCache, tmp_path: Path) -> None:
    cache.keep(memory())

    assert file_of(tmp_path).stat().st_mode & 0o777 == 0o600
    assert file_of(tmp_path).parent.stat().st_mode & 0o777 == 0o700


def test_it_is_on_the_disk_before_it_takes_the_place_of_the_older_one(
    cache: PolicyCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    plain_fsync, plain_replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        steps.append("sync")
        plain_fsync(descriptor)

    def replace(path: Path, target: Path) -> Path:
        steps.append("replace")
        return plain_replace(path, target)

    monkeypatch.setattr(policy_cache.os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)

    cache.keep(memory())

    assert steps == ["sync", "replace", "sync"]


def test_a_write_that_fails_leaves_what_was_kept_and_no_rest(
    cache: PolicyCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.keep(memory(7))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(policy_cache.os, "fsync", full)
    with pytest.raises(CacheFault, match="can not be written: No space left on device"):
        cache.keep(memory(8))

    assert cache.recall(SOURCE) == memory(7)
    assert len(list(file_of(tmp_path).parent.iterdir())) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content.replace(b"version: 7", b"version: 9"),
        lambda _: b"",
        lambda _: b"null",
        lambda _: b"\xff\xfe",
        lambda _: b'{"source": 7}',
    ],
)
def test_what_was_tampered_with_or_torn_is_a_fault_and_not_believed(
    cache: PolicyCache, tmp_path: Path, spoil: object
) -> None:
    assert callable(spoil)
    cache.keep(memory())
    file = file_of(tmp_path)
    file.write_bytes(spoil(file.read_bytes()))

    with pytest.raises(CacheFault, match="is not what was kept"):
        cache.recall(SOURCE)


def test_a_folder_that_can_not_be_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = PolicyCache(tmp_path / "file" / "policy", "checkout")

    with pytest.raises(CacheFault, match="can not be written: Not a directory"):
        cache.keep(memory())
    with pytest.raises(CacheFault, match="can not be read: Not a directory"):
        cache.recall(SOURCE)
