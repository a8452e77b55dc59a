"""Real files, real events. Whatever is awaited is awaited for an event, with a bound that only a failure reaches."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from sidecar.governance.loading.reading import Reading, read
from sidecar.governance.loading.sources import WatchedFiles
from tests.fakes.waiting import turn

SETTLE = 0.02
NEVER = 600.0
BOUND = 10.0

Changes = asyncio.Queue[str]


@asynccontextmanager
async def watching(*files: Path, poll: float = NEVER) -> AsyncIterator[tuple[Changes, WatchedFiles]]:
    """Watch the files; each change puts what the first of them says then, or "gone", into the queue.

    Their digest is unknown at first, so that there is a first change to await: from then on only events tell.
    """
    changes: Changes = asyncio.Queue()
    watched = WatchedFiles(files, "unknown", settle=SETTLE, poll=poll)

    async def changed() -> None:
        with suppress(OSError):
            if not files[0].is_fifo():
                changes.put_nowait(files[0].read_text(encoding="utf-8"))
                return
        changes.put_nowait("gone")

    task = asyncio.create_task(watched.watch(changed))
    try:
        async with asyncio.timeout(BOUND):
            await changes.get()
        yield changes, watched
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(changes: Changes, text: str) -> list[str]:
    """Every change up to the one that says `text`."""
    seen: list[str] = []
    async with asyncio.timeout(BOUND):
        while not seen or seen[-1] != text:
            seen.append(await changes.get())
    return seen


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text("one", encoding="utf-8")
    return file


def write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def delete(file: Path) -> None:
    file.unlink()


def rename_over(file: Path, text: str) -> None:
    draft = file.with_suffix(".draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)


def delete_and_create(file: Path, text: str) -> None:
    file.unlink()
    file.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("replace", [write, rename_over, delete_and_create])
async def test_a_replaced_file_is_seen_once(file: Path, replace: Callable[[Path, str], None]) -> None:
    async with watching(file) as (changes, _):
        replace(file, "two")

        seen = await until(changes, "two")

    assert set(seen) <= {"two", "gone", ""}
    assert seen.count("two") == 1
    assert changes.empty()


async def test_each_of_many_replacements_is_seen(file: Path) -> None:
    async with watching(file) as (changes, _):
        for number in range(5):
            rename_over(file, f"text {number}")

            await until(changes, f"text {number}")


async def test_a_deleted_file_is_a_change_and_so_is_its_return(file: Path) -> None:
    async with watching(file) as (changes, _):
        delete(file)
        await until(changes, "gone")

        write(file, "back")

        assert await until(changes, "back")


async def test_a_folder_that_goes_and_comes_back_is_seen(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    file = folder / "policy.yaml"
    write(file, "one")

    async with watching(file) as (changes, _):
        file.unlink()
        folder.rmdir()
        await until(changes, "gone")

        folder.mkdir()
        write(file, "back")

        assert await until(changes, "back")


async def test_the_same_bytes_written_again_are_no_change(file: Path) -> None:
    async with watching(file) as (changes, _):
        rename_over(file, "one")
        rename_over(file, "two")

        assert await until(changes, "two") == ["two"]


async def test_twenty_swaps_by_a_kubelet_are_seen_without_a_torn_or_missed_one(tmp_path: Path) -> None:
    """A mounted ConfigMap: policy.yaml -> ..data/policy.yaml, and ..data -> a folder that is replaced whole."""

    def publish(version: int) -> None:
        folder = tmp_path / f"..2026_{version}"
        folder.mkdir()
        for name in ("policy.yaml", "sidecar.yaml"):
            write(folder / name, str(version))
        link = tmp_path / "..data_tmp"
        link.symlink_to(folder.name)
        before = (tmp_path / "..data").resolve()
        link.replace(tmp_path / "..data")
        if version > 0:
            for old in before.iterdir():
                old.unlink()
            before.rmdir()

    publish(0)
    files = [tmp_path / "policy.yaml", tmp_path / "sidecar.yaml"]
    for file in files:
        file.symlink_to(Path("..data") / file.name)

    async with watching(*files) as (changes, _):
        for version in range(1, 21):
            publish(version)

            assert await until(changes, str(version)) == [str(version)]


async def test_a_change_behind_a_link_to_another_folder_is_seen(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    here = tmp_path / "here"
    shared.mkdir()
    here.mkdir()
    write(shared / "policy.yaml", "one")
    (here / "policy.yaml").symlink_to(shared / "policy.yaml")

    async with watching(here / "policy.yaml") as (changes, _):
        write(shared / "policy.yaml", "two")

        assert await until(changes, "two")


async def test_what_no_event_tells_is_seen_by_the_poll(tmp_path: Path) -> None:
    """The folder itself is a link that is swapped: nothing happens in any folder that is watched."""
    for name, text in (("a", "one"), ("b", "two")):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "policy.yaml", text)
    etc = tmp_path / "links" / "etc"
    etc.parent.mkdir()
    etc.symlink_to(tmp_path / "a")

    async with watching(etc / "policy.yaml", poll=0.05) as (changes, _):
        etc.unlink()
        etc.symlink_to(tmp_path / "b")

        assert await until(changes, "two")


async def test_a_change_between_the_load_and_the_watch_is_seen(file: Path) -> None:
    watched = WatchedFiles([file], read([file]).fingerprint, settle=SETTLE, poll=NEVER)
    changed = asyncio.Event()

    async def change() -> None:
        changed.set()

    write(file, "two")
    task = asyncio.create_task(watched.watch(change))

    async with asyncio.timeout(BOUND):
        await changed.wait()
    task.cancel()


async def test_what_is_as_it_was_loaded_is_no_change(file: Path) -> None:
    watched = WatchedFiles([file], read([file]).fingerprint, settle=SETTLE, poll=0.01)

    async def change() -> None:
        raise AssertionError

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watched.watch(change), timeout=0.1)


async def test_other_files_can_be_followed(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "policy.yaml"
    other.parent.mkdir()
    write(other, "elsewhere")

    async with watching(file) as (changes, watched):
        watched.follow([other, file], read([other, file]).fingerprint)
        rename_over(other, "changed elsewhere")

        assert await until(changes, "one")


async def test_without_files_there_is_nothing_to_see() -> None:
    watched = WatchedFiles((), Reading({}).fingerprint, settle=SETTLE, poll=0.01)
    changes: list[None] = []

    async def changed() -> None:
        changes.append(None)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watched.watch(changed), timeout=0.1)

    assert changes == []


async def test_a_watch_that_is_cancelled_ends_at_once(file: Path) -> None:
    watched = WatchedFiles([file], read([file]).fingerprint, settle=SETTLE, poll=NEVER)

    async def changed() -> None:
        raise AssertionError

    task = asyncio.create_task(watched.watch(changed))
    await turn()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, BOUND)


def replace_by(file: Path, make: Callable[[], object]) -> None:
    file.unlink()
    make()


async def test_a_link_to_itself_ends_nothing(file: Path) -> None:
    """RuntimeError in a task that nobody awaited: from then on nothing was seen, for good and without a word."""
    async with watching(file) as (changes, _):
        replace_by(file, lambda: file.symlink_to(file.name))
        await until(changes, "gone")
        replace_by(file, lambda: file.write_text("two", encoding="utf-8"))

        assert await until(changes, "two")


async def test_a_pipe_in_the_place_of_a_file_ends_nothing_and_holds_nobody_up(file: Path) -> None:
    async with watching(file) as (changes, _):
        replace_by(file, lambda: os.mkfifo(file))
        await until(changes, "gone")
        replace_by(file, lambda: file.write_text("two", encoding="utf-8"))

        assert await until(changes, "two")
