"""Keeping up with the source for as long as a sidecar runs: watch, ask, load, and go back where a version does harm.

Whatever happens to files, servers and versions: something valid is in force, and what went wrong is told once.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from msgspec import UNSET
from msgspec.structs import replace

from sidecar.background import BackgroundTasks
from sidecar.governance.documents.finding import Finding, InvalidDocument
from sidecar.governance.loading.loader import Loaded
from sidecar.governance.loading.reloads import Reloads
from sidecar.governance.loading.rollout import AmplificationWatch, Breach, Load
from sidecar.governance.loading.sources import WatchedFiles
from sidecar.governance.loading.standing import PolicyOrigin, RolloutState
from sidecar.governance.policy.snapshot import Snapshot

LOOK: Final = 0.25
"""Seconds between two looks at whether an address is to be asked, and at what a new version does."""
LONGEST_PAUSE: Final = 300.0
"""Seconds: an address that fails is asked less and less often, down to this, or to its `poll` when that is longer."""

BACKGROUND_TASKS: Final = ("policy_watch", "policy_updates", "policy_reload")
"""The background tasks, by name."""

_JITTER: Final = (0.8, 1.2)


class SnapshotSource(Protocol):
    """A source of snapshots: `PolicyLoader`."""

    async def load(self) -> Loaded:
        """Load again. Raises InvalidDocument."""

    async def abort(self, version: int) -> Loaded:
        """Give a version up for good. Raises InvalidDocument."""


class Governed(Protocol):
    """The proxy, as far as a policy governs it."""

    def put_in_force(self, loaded: Loaded) -> None:
        """From now on this governs, in one step as far as requests can see."""

    def loads(self) -> Mapping[str, Load]:
        """The attempts and requests of each destination since the start."""


class Tell(Protocol):
    """The log: a level of `logging`, the event, and its fields."""

    def __call__(self, level: int, event: str, **fields: object) -> object:
        """Write one line."""


class PolicyUpdater:
    """`loaded` is in force already. `clock` is monotonic, `wall` is not; `background` knows BACKGROUND_TASKS."""

    def __init__(
        self,
        source: SnapshotSource,
        loaded: Loaded,
        host: Governed,
        tell: Tell,
        background: BackgroundTasks,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self.loaded = loaded
        self.reloads = Reloads(loaded.snapshot, wall())
        self.aborts = 0
        """Versions given up since the start."""
        self._source = source
        self._host = host
        self._tell = tell
        self._clock = clock
        self._wall = wall
        self._rand = rand
        self._watched = WatchedFiles(loaded.watched, loaded.fingerprint)
        self._one_at_a_time = asyncio.Lock()
        self._background = background
        self._asking: asyncio.Task[None] | None = None
        self._ask_at = clock()
        self._failures_in_a_row = 0
        self._watch: AmplificationWatch | None = None
        self._expiry_told = False
        self._mind_rollout()

    def start(self) -> None:
        """Keep up from now on, until the background tasks are closed."""
        self._tell_warnings(())
        self._schedule(first=True)
        self._background.keep("policy_watch", partial(self._watched.watch, self._reload_quietly))
        self._background.keep("policy_updates", self._keep_up)

    async def _keep_up(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK)

    async def look(self) -> None:
        """One look at the clock and at the counters."""
        now = self._clock()
        poll = self.loaded.poll
        if poll is not None and now >= self._ask_at and (self._asking is None or self._asking.done()):
            self._asking = self._soon()
        if self._watch is not None and (breach := self._watch.sample(self._host.loads(), now)) is not None:
            await self._abort(breach)
        expires = self.loaded.snapshot.expires
        if expires is not None and not self._expiry_told and self._wall() >= expires.timestamp():
            self._expiry_told = True
            version = self.loaded.snapshot.version
            self._tell(logging.ERROR, "policy_expired", policy_version=version, expires=expires.date().isoformat())

    def reload_soon(self) -> None:
        """Load again in a task of its own."""
        self._soon(asked=True)

    async def reload(self, *, asked: bool = True) -> tuple[Finding, ...]:
        """Load again. What is wrong, empty when nothing is; then the last good snapshot, and all state, stays in force.

        `asked` is true for a reload that a person asked for, which is answered also when nothing is new.
        """
        async with self._one_at_a_time:
            try:
                loaded = await self._source.load()
            except InvalidDocument as error:
                self._refused(error.findings, asked=asked)
                return error.findings
            else:
                self._failures_in_a_row = 0
                self._take(loaded, asked=asked)
                return ()
            finally:
                self._schedule(first=False)

    def turned(self, snapshot: Snapshot) -> None:
        """The host found that the documents in force amount to this by now: an exception has begun or ended."""
        self.loaded = replace(self.loaded, snapshot=snapshot)
        self.reloads.snapshot = snapshot

    @property
    def age(self) -> float:
        """Seconds since the source was last found to say what is made of it."""
        confirmed = self.loaded.confirmed
        if self._watched.fingerprint == self.loaded.fingerprint and self.loaded.poll is None:
            confirmed = max(confirmed, self._watched.read_at)
        return max(0.0, self._wall() - confirmed)

    @property
    def warnings(self) -> Sequence[str]:
        """The present warnings for operators, one line each."""
        loaded, found = self.loaded, list(self.loaded.warnings)
        if loaded.rollout is RolloutState.ABORTED:
            found.append(f"version {loaded.offered} was given up here: it amplified")
        expires = loaded.snapshot.expires
        if expires is not None and self._wall() >= expires.timestamp():
            day = expires.date().isoformat()
            found.append(f"the policy has expired ({day}) and is kept: its successor may be held back")
        if self.reloads.last_error is not None:
            found.append(f"the last reload was refused: {self.reloads.findings[0]}")
        return found

    def _take(self, loaded: Loaded, *, asked: bool) -> None:
        before, self.loaded = self.loaded, loaded
        self._watched.follow(loaded.watched, loaded.fingerprint)
        recovered = self.reloads.last_error is not None
        same = loaded.snapshot is before.snapshot and loaded.candidate is before.candidate
        if same and not asked and not recovered:
            return  # an address that has nothing new was asked, and nothing was loaded
        changed = self.reloads.succeeded(loaded.snapshot, self._wall())
        if not same:
            self._host.put_in_force(loaded)
        if changed or recovered or loaded.rollout is not before.rollout or loaded.origin is not before.origin:
            self._tell(
                logging.INFO,
                "reload",
                policy_version=loaded.snapshot.version,
                digest=loaded.snapshot.policy_digest[:12],
                origin=loaded.origin.value,
                rollout=loaded.rollout.value,
                offered=loaded.offered,
            )
        self._tell_warnings(before.warnings)
        if changed:
            self._expiry_told = False
        if changed or loaded.rollout is not before.rollout:
            self._mind_rollout()

    def _refused(self, findings: tuple[Finding, ...], *, asked: bool) -> None:
        self._failures_in_a_row += 1
        news = self.reloads.failed(findings)
        if news or asked:
            for finding in findings:
                self._tell(
                    logging.ERROR, "reload_refused", finding=str(finding), policy_version=self.loaded.snapshot.version
                )

    def _tell_warnings(self, told: Sequence[str]) -> None:
        loud = self.loaded.origin in (PolicyOrigin.BASELINE, PolicyOrigin.COPY)
        for warning in self.loaded.warnings:
            if warning not in told:
                self._tell(logging.ERROR if loud else logging.WARNING, "policy_warning", warning=warning)

    async def _abort(self, breach: Breach) -> None:
        version = self.loaded.snapshot.version
        async with self._one_at_a_time:
            if self.loaded.snapshot.version != version or self.loaded.rollout is not RolloutState.ADOPTED:
                return
            self._watch = None
            self.aborts += 1
            self._tell(
                logging.ERROR,
                "rollout_aborted",
                policy_version=version,
                destination=breach.destination,
                amplification=round(breach.amplification, 3),
                requests=breach.requests,
            )
            try:
                loaded = await self._source.abort(version)
            except InvalidDocument as error:
                self._refused(error.findings, asked=True)
                return
            self._take(loaded, asked=True)

    def _mind_rollout(self) -> None:
        """A version that is for some pods only is watched from its adoption on."""
        plan = self.loaded.snapshot.rollout
        self._watch = None
        if self.loaded.rollout is RolloutState.ADOPTED and plan is not None and plan.abort_when is not UNSET:
            self._watch = AmplificationWatch(plan.abort_when, self._host.loads(), self._clock())

    def _schedule(self, *, first: bool) -> None:
        """When an address is asked next: not by all pods at once, and less often while it fails."""
        poll = self.loaded.poll
        if poll is None:
            return
        if first and self.loaded.origin is not PolicyOrigin.SOURCE:
            self._ask_at = self._clock()
            return
        longest = max(poll, LONGEST_PAUSE)
        pause = min(longest, poll * 2 ** min(self._failures_in_a_row, 20))
        low, high = _JITTER
        self._ask_at = self._clock() + pause * (low + (high - low) * self._rand())

    async def _reload_quietly(self) -> None:
        await self.reload(asked=False)

    def _soon(self, *, asked: bool = False) -> asyncio.Task[None]:
        return self._background.once("policy_reload", self.reload(asked=asked))
