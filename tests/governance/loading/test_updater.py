"""Keeping up with a source, the clocks in the test's hand and the source a shelf."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from sidecar.background import BackgroundTasks
from sidecar.governance.documents.document import AbortCondition, Rollout
from sidecar.governance.documents.finding import Finding, InvalidDocument
from sidecar.governance.loading.loader import Loaded
from sidecar.governance.loading.rollout import Load
from sidecar.governance.loading.standing import PolicyOrigin, RolloutState
from sidecar.governance.loading.updater import BACKGROUND_TASKS, LONGEST_PAUSE, PolicyUpdater
from sidecar.governance.policy.snapshot import Snapshot, from_flags
from tests.fakes.documents import NOW
from tests.fakes.policies import Shelf, loaded
from tests.fakes.waiting import turn, until

BROKEN = InvalidDocument([Finding("policy.yaml", 3, "via", "must be true or false", "1")])
GONE = InvalidDocument([Finding("https://a/b", None, "", "answered 503")])
WATCHED = Rollout(percent=5, abort_when=AbortCondition(amplification=1.2, min_requests=10))


@dataclass
class Scene:
    """A host and a log that take notes, and clocks that stand until they are set."""

    now: float = 100.0
    wall: float = 5000.0
    in_force: list[Loaded] = field(default_factory=list)
    counts: Mapping[str, Load] = field(default_factory=dict)
    lines: list[tuple[str, str, Mapping[str, object]]] = field(default_factory=list)

    def put_in_force(self, loaded: Loaded) -> None:
        self.in_force.append(loaded)

    def loads(self) -> Mapping[str, Load]:
        return self.counts

    def tell(self, level: int, event: str, **fields: object) -> None:
        self.lines.append((logging.getLevelName(level).lower(), event, fields))

    def events(self) -> list[str]:
        return [event for _, event, _ in self.lines]

    def updater(self, shelf: Shelf, first: Loaded, chance: float = 0.5) -> PolicyUpdater:
        background = BackgroundTasks(BACKGROUND_TASKS, self.tell)
        return PolicyUpdater(
            shelf,
            first,
            self,
            self.tell,
            background,
            clock=lambda: self.now,
            wall=lambda: self.wall,
            rand=lambda: chance,
        )


@pytest.fixture
def scene() -> Scene:
    return Scene()


def snapshot(version: int = 7, **changes: object) -> Snapshot:
    made = from_flags("checkout", ["payments=http://payments:8080"], None, None, NOW)
    return replace(made, version=version, digest=str(version), policy_digest=f"digest {version}", **changes)  # type: ignore[arg-type]


async def asked(updater: PolicyUpdater, shelf: Shelf, times: int) -> None:
    """Look until the source has been asked so often; the asking is a task of its own."""
    async with asyncio.timeout(5):
        while shelf.asked < times:
            await updater.look()
            await turn()
        await turn()


async def test_another_snapshot_is_put_in_force_and_told(scene: Scene) -> None:
    first, second = loaded(snapshot(7)), loaded(snapshot(8))
    updater = scene.updater(Shelf([second]), first)

    findings = await updater.reload()

    assert findings == ()
    assert scene.in_force == [second]
    assert scene.events() == ["reload"]
    assert (updater.reloads.successes, updater.reloads.failures) == (1, 0)


async def test_what_is_wrong_leaves_the_last_good_one_in_force(scene: Scene) -> None:
    first = loaded(snapshot(7))
    updater = scene.updater(Shelf([BROKEN]), first)

    findings = await updater.reload()

    assert findings == BROKEN.findings
    assert scene.in_force == []
    assert updater.loaded is first
    assert scene.lines[0][2]["finding"] == "policy.yaml:3: via: must be true or false, got 1"
    assert updater.warnings == ["the last reload was refused: policy.yaml:3: via: must be true or false, got 1"]


async def test_the_same_fault_is_told_once_unless_somebody_asks(scene: Scene) -> None:
    updater = scene.updater(Shelf([BROKEN]), loaded(snapshot(7)))

    for _ in range(5):
        await updater.reload(asked=False)
    once = scene.events().count("reload_refused")
    await updater.reload(asked=True)

    assert once == 1
    assert scene.events().count("reload_refused") == 2
    assert updater.reloads.failures == 6


async def test_recovery_is_told_although_nothing_changed(scene: Scene) -> None:
    first = loaded(snapshot(7), poll=30.0)
    shelf = Shelf([GONE])
    updater = scene.updater(shelf, first)
    await updater.reload(asked=False)
    shelf.loads.append(first)

    await updater.reload(asked=False)

    assert scene.events() == ["reload_refused", "reload"]
    assert updater.reloads.last_error is None
    assert scene.in_force == []


async def test_an_address_that_has_nothing_new_is_no_reload(scene: Scene) -> None:
    first = loaded(snapshot(7), poll=30.0)
    updater = scene.updater(Shelf([replace(first, confirmed=4990.0)]), first)

    await updater.reload(asked=False)

    assert updater.reloads.successes == 0
    assert scene.lines == []
    assert updater.age == 10.0


async def test_reloads_wait_for_each_other(scene: Scene) -> None:
    shelf = Shelf([loaded(snapshot(8))])
    updater = scene.updater(shelf, loaded(snapshot(7)))

    await asyncio.gather(*(updater.reload() for _ in range(5)))

    assert shelf.asked == 5
    assert len(scene.in_force) == 1


async def test_an_address_is_asked_at_its_pace_and_not_by_all_pods_at_once(scene: Scene) -> None:
    first = loaded(snapshot(7), poll=30.0)
    shelf = Shelf([first])
    updater = scene.updater(shelf, first)
    updater._schedule(first=True)

    scene.now += 29.9
    await updater.look()
    await turn()
    early = shelf.asked
    scene.now += 0.2
    await asked(updater, shelf, 1)
    hasty, slow = scene.updater(shelf, first, 0.0), scene.updater(shelf, first, 1.0)
    hasty._schedule(first=True)
    slow._schedule(first=True)

    assert early == 0
    assert shelf.asked == 1
    assert (hasty._ask_at - scene.now, slow._ask_at - scene.now) == (pytest.approx(24.0), pytest.approx(36.0))


async def test_an_address_that_fails_is_asked_less_and_less_often(scene: Scene) -> None:
    updater = scene.updater(Shelf([GONE]), loaded(snapshot(7), poll=30.0))
    pauses = []

    for _ in range(6):
        await updater.reload(asked=False)
        pauses.append(updater._ask_at - scene.now)

    assert pauses == [60.0, 120.0, 240.0, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]


async def test_after_a_start_on_a_copy_the_address_is_asked_at_once(scene: Scene) -> None:
    copy = loaded(snapshot(7), origin=PolicyOrigin.COPY, poll=30.0)
    shelf = Shelf([loaded(snapshot(7), poll=30.0)])
    updater = scene.updater(shelf, copy)
    updater._schedule(first=True)

    await asked(updater, shelf, 1)

    assert updater.loaded.origin is PolicyOrigin.SOURCE


async def test_warnings_are_told_once_and_the_baseline_as_an_error(scene: Scene) -> None:
    first = loaded(snapshot(0), origin=PolicyOrigin.BASELINE, warnings=("the baseline is in force",))
    updater = scene.updater(Shelf([first]), first)

    updater._tell_warnings(())
    await updater.reload()

    assert scene.lines == [("error", "policy_warning", {"warning": "the baseline is in force"})]


async def test_the_expiry_of_the_policy_is_an_alarm_at_its_instant_and_the_policy_is_kept(scene: Scene) -> None:
    first = loaded(snapshot(7, expires=datetime.fromtimestamp(6000.0, UTC)))
    updater = scene.updater(Shelf([first]), first)

    scene.wall = 5999.9
    await updater.look()
    before = (scene.events(), updater.warnings)
    scene.wall = 6000.0
    await updater.look()
    await updater.look()

    assert before == ([], [])
    assert scene.events() == ["policy_expired"]
    assert "has expired (1970-01-01) and is kept" in updater.warnings[0]
    assert updater.loaded is first


async def test_a_version_that_amplifies_is_given_up(scene: Scene) -> None:
    first, second = loaded(snapshot(7)), loaded(snapshot(8, rollout=WATCHED), rollout=RolloutState.ADOPTED)
    back = replace(loaded(snapshot(7), rollout=RolloutState.ABORTED), offered=8)
    shelf = Shelf([second], fallback=back)
    scene.counts = {"payments": Load(900, 100)}
    updater = scene.updater(shelf, first)
    await updater.reload()

    scene.counts = {"payments": Load(1020, 200)}
    await updater.look()
    calm = list(shelf.aborted)
    scene.counts = {"payments": Load(1050, 220)}
    scene.now += 1
    await updater.look()

    assert calm == []
    assert shelf.aborted == [8]
    assert updater.aborts == 1
    assert scene.in_force[-1] is back
    line = next(fields for _, event, fields in scene.lines if event == "rollout_aborted")
    assert line == {"policy_version": 8, "destination": "payments", "amplification": 1.25, "requests": 120}
    assert "version 8 was given up here: it amplified" in updater.warnings


async def test_a_version_for_everybody_is_not_watched(scene: Scene) -> None:
    updater = scene.updater(Shelf([]), loaded(snapshot(8, rollout=WATCHED), rollout=RolloutState.NONE))
    scene.counts = {"payments": Load(9000, 100)}

    await updater.look()

    assert updater.aborts == 0


async def test_a_watch_goes_on_over_reloads_of_the_same_bytes_and_begins_anew_with_others(scene: Scene) -> None:
    second = loaded(snapshot(8, rollout=WATCHED), rollout=RolloutState.ADOPTED)
    shelf = Shelf([second])
    updater = scene.updater(shelf, second)
    watch = updater._watch

    await updater.reload()
    same = updater._watch
    shelf.loads.append(loaded(replace(second.snapshot, digest="8 again"), rollout=RolloutState.ADOPTED))
    await updater.reload()

    assert watch is not None
    assert same is watch
    assert updater._watch is not watch


async def test_what_goes_on_ends_when_the_background_does(scene: Scene) -> None:
    first = loaded(snapshot(7), poll=30.0, origin=PolicyOrigin.COPY)
    shelf = Shelf([first])
    updater = scene.updater(shelf, first)

    updater.start()
    await until(lambda: shelf.asked)
    await updater._background.close()

    assert len(asyncio.all_tasks()) == 1


async def test_a_reload_that_fails_in_a_way_nobody_thought_of_is_told_and_counted(scene: Scene) -> None:
    first = loaded(snapshot(7))
    updater = scene.updater(Shelf([]), first)  # has nothing to give, and raises IndexError

    updater.reload_soon()
    async with asyncio.timeout(5):
        while not scene.lines:
            await turn()

    (level, event, fields), *_ = scene.lines
    assert (level, event, fields["task"]) == ("error", "background_task_ended", "policy_reload")
    assert updater.loaded is first
