"""From what people write to what is in force: one straight line, walked at the start and at every reload.

Read once into memory → signature → parse strictly → types → guardrails → compile → the version may only rise → is it
for this pod. Whatever goes wrong on the way is an InvalidDocument, and the caller keeps what is in force.
"""

import asyncio
import importlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from msgspec import UNSET, Struct
from msgspec.structs import replace

from sidecar.governance.documents.directory import unread_documents
from sidecar.governance.documents.document import PolicySettings
from sidecar.governance.documents.finding import Finding, InvalidDocument, RuleId
from sidecar.governance.documents.version import unfollowable
from sidecar.governance.loading.mounts import mounted_by_themselves
from sidecar.governance.loading.policy_address import Answer, PolicyAddress
from sidecar.governance.loading.policy_cache import CacheFault, Kept, Memory, PolicyCache
from sidecar.governance.loading.reading import Reading, read
from sidecar.governance.loading.rollout import position
from sidecar.governance.loading.standing import PolicyOrigin, RolloutState
from sidecar.governance.policy.authority import authority_from
from sidecar.governance.policy.bootstrap import BootSource, Bootstrap
from sidecar.governance.policy.delivery import Delivery, Unreachable
from sidecar.governance.policy.snapshot import Snapshot, baseline, compiled, local_delivery
from sidecar.governance.trust import signature

_REMOTE: Final = "sidecar.governance.loading.remote"
_READINGS = 5
"""A sidecar file that names another policy each time it is read is taken as it was the last time."""


class Loaded(Struct, frozen=True):
    """The snapshot to put in force, and its origin."""

    snapshot: Snapshot
    origin: PolicyOrigin
    rollout: RolloutState
    offered: int
    """The version the source offers; the one in force unless a rollout holds it back."""
    candidate: Snapshot | None
    """The snapshot of a dry run: judged, and not in force."""
    warnings: tuple[str, ...]
    """Warnings for operators for as long as it is in force, one line each."""
    watched: tuple[Path, ...]
    """The files whose change is a reason to load again, as they were when `fingerprint` was taken."""
    fingerprint: str
    poll: float | None
    """Seconds after which an address is asked again; None when files tell by themselves."""
    confirmed: float
    """Wall time at which the source was last found to say this; of a copy or the baseline, when it was taken."""


class _Offer(Struct, frozen=True):
    """The source's current version, verified and judged."""

    key: tuple[object, ...]
    delivery: Delivery
    etag: str | None
    candidate: Snapshot


class PolicyFetcher(Protocol):
    """Asks addresses."""

    async def fetch(self, address: PolicyAddress, etag: str | None) -> Answer:
        """Ask once. `etag` is of what is known already. Raises Unreachable."""


class PolicyLoader:
    """`boot` is the sidecar file, flags, or one under the other. `pod` is the name by which rollouts know this sidecar.

    `authority` is the platform's file that says whose policy governs; None where there is none.

    It remembers, on disk where the sidecar file names a cache, so one at a time may be under way.
    """

    def __init__(
        self,
        boot: Path | Bootstrap | BootSource,
        pod: str,
        *,
        authority: Path | None = None,
        wall: Callable[[], datetime] | None = None,
    ) -> None:
        self._boot = boot
        self._authority = authority
        self._pod = pod
        self._wall = wall or _now
        self._fetcher: PolicyFetcher | None = None
        self._memory: Memory | None = None
        self._cache: PolicyCache | None = None
        self._cache_fault: str | None = None
        self._forgotten: str | None = None
        self._unread: tuple[str, ...] = ()
        self._offer: _Offer | None = None
        self._last: tuple[tuple[object, ...], Loaded] | None = None

    async def first(self, *, strict: bool) -> Loaded:
        """Load at the start, when nothing is in force yet.

        Where the source gives nothing that holds there is the last good copy, and without one the baseline, unless
        `strict`. Raises InvalidDocument for a sidecar file that is wrong, and, where there is no copy, for a policy
        file that is there and wrong, or was named by a flag: its author is at hand. Where an authority names it,
        they are not, and it is as with an address.
        """
        bootstrap, reading = await asyncio.to_thread(self._read)
        settings = bootstrap.policy
        if settings is None:
            return await self.load()
        await self._remember(bootstrap, settings)
        fault: InvalidDocument | None = None
        if settings.url is not UNSET:
            # An address may take its time, and callers do not wait for it: it is asked as soon as they are served.
            try:
                if (loaded := await self._from_copy(bootstrap, reading, None)) is not None:
                    return loaded
            except InvalidDocument as error:
                fault = error
        try:
            return await self.load()
        except InvalidDocument as error:
            if settings.url is UNSET and (loaded := await self._from_copy_if_it_holds(bootstrap, reading, error)):
                return loaded
            author_away = (
                settings.url is not UNSET
                or self._authority is not None
                or (isinstance(error, Unreachable) and self._mounted())
            )
            if strict or not author_away:
                raise
            reasons = [*(() if fault is None else fault.findings), *error.findings]
            return self._baseline(bootstrap, reading, reasons)

    async def load(self) -> Loaded:
        """Load again. The very object of the last time when nothing has changed. Raises InvalidDocument."""
        bootstrap, reading = await asyncio.to_thread(self._read)
        settings = bootstrap.policy
        if settings is None:
            snapshot = await asyncio.to_thread(compiled, bootstrap, None, [], self._wall())
            return self._loaded(snapshot, reading, PolicyOrigin.SOURCE, RolloutState.NONE, snapshot.version)
        await self._remember(bootstrap, settings)
        key = (reading.fingerprint, bootstrap.content)
        offer = await self._offered(bootstrap, settings, reading, key)
        self._offer = offer
        if self._last is not None and self._last[0] == offer.key and self._stands(self._last[1].snapshot):
            loaded = replace(self._last[1], confirmed=self._wall().timestamp())
            self._last = (offer.key, loaded)
            return loaded
        loaded = await self._settled(bootstrap, settings, reading, offer)
        self._last = (offer.key, loaded)
        return loaded

    async def abort(self, version: int) -> Loaded:
        """Give up a version that amplifies, for good; what is to be in force instead. Raises InvalidDocument."""
        bootstrap, reading = await asyncio.to_thread(self._read)
        settings, memory = bootstrap.policy, self._memory
        assert settings is not None
        assert memory is not None
        if version not in memory.aborted:
            memory.aborted.append(version)
        if memory.current is not None and memory.current.version == version:
            memory.current, memory.previous = memory.previous, None
        await self._keep()
        self._last = None
        loaded = await self._older(bootstrap, settings, reading, RolloutState.ABORTED, version)
        if self._offer is not None:
            self._last = (self._offer.key, loaded)
        return loaded

    # Reading

    def _read(self) -> tuple[Bootstrap, Reading]:
        """The sidecar file, the authority, and every file they name, as they were at one instant."""
        boot = self._boot.file if isinstance(self._boot, BootSource) else self._boot
        roots = [boot] if isinstance(boot, Path) else []
        roots += [] if self._authority is None else [self._authority]
        files = roots
        for _ in range(_READINGS):
            reading = read(files)
            findings: list[Finding] = []
            bootstrap = self._bootstrap(reading, findings)
            wanted = [*roots, *_policy_files(bootstrap)]
            if wanted == files:
                break
            files = wanted
        if findings:
            # The policy is judged as well, so that one reading is enough to mend both.
            compiled(bootstrap, local_delivery(bootstrap, findings), findings, self._wall())
        settings = bootstrap.policy
        if settings is not None and settings.directory is not UNSET:
            self._unread = unread_documents(bootstrap.policy_path(settings.directory))
        else:
            self._unread = ()
        if settings is not None and settings.keys:
            try:
                signature.require_extra()
            except signature.LacksExtra as error:
                raise InvalidDocument([bootstrap.policy_tree.finding(("policy", "keys"), str(error))]) from None
        return bootstrap, reading

    def _bootstrap(self, reading: Reading, findings: list[Finding]) -> Bootstrap:
        """The sidecar file, or flags, under the authority. Raises InvalidDocument for what can not be read at all."""
        bootstrap = self._boot
        if isinstance(bootstrap, Path):
            bootstrap = BootSource(bootstrap)
        if isinstance(bootstrap, BootSource):
            bootstrap = bootstrap.read(_content_of(bootstrap, reading), findings)
        if self._authority is None:
            return bootstrap
        return bootstrap.under(authority_from(self._authority, _said(self._authority, reading)), findings)

    def _mounted(self) -> bool:
        """Whether a policy that is not there may come yet: it is named by a document or variable, not by hand."""
        if isinstance(self._boot, BootSource):
            return not self._boot.names_policy_by_flag()
        return isinstance(self._boot, Path)

    async def _offered(
        self, bootstrap: Bootstrap, settings: PolicySettings, reading: Reading, key: tuple[object, ...]
    ) -> _Offer:
        """The source's current version, verified and judged."""
        known = self._offer
        if settings.url is UNSET:
            file = bootstrap.policy_file
            assert file is not None
            delivery, etag = _local(file, reading, signed=bool(settings.keys)), None
        else:
            # What another bootstrap has made of the answer says nothing about what this one does.
            believed = known is not None and known.key[:2] == key
            answer = await self._fetch(
                _address(bootstrap, settings, settings.url), known.etag if known is not None and believed else None
            )
            if answer.delivery is None:
                assert known is not None
                delivery = known.delivery
            else:
                delivery = answer.delivery
            etag = answer.etag
        key = (*key, delivery)
        if known is not None and known.key == key and self._stands(known.candidate):
            return replace(known, etag=etag)
        candidate = await asyncio.to_thread(_judged, bootstrap, settings, delivery, self._wall())
        self._require_rising(delivery, candidate)
        return _Offer(key, delivery, etag, candidate)

    async def _fetch(self, address: PolicyAddress, etag: str | None) -> Answer:
        """Ask an address. What it takes (aiohttp, 0.1 s of imports) is loaded where a policy has an address at all."""
        if self._fetcher is None:
            module = await asyncio.to_thread(importlib.import_module, _REMOTE)
            fetcher: PolicyFetcher = module.Remote()
            self._fetcher = fetcher
        return await self._fetcher.fetch(address, etag)

    def _stands(self, snapshot: Snapshot) -> bool:
        """Whether the documents amount to the same as when they were judged: no exception has begun or ended."""
        return snapshot.at(self._wall()) is snapshot

    def _require_rising(self, delivery: Delivery, candidate: Snapshot) -> None:
        """Older rules come back under a higher version, or not at all: who replays them must not succeed."""
        assert self._memory is not None
        seen = self._memory.version
        rule, rule_id = unfollowable(candidate.version, seen), RuleId.BOUNDS
        if candidate.version < seen:
            rule = f"must not be lower than {seen}, the highest seen here (rollback)"
            rule_id = RuleId.VALUE
        if rule is not None:
            tree = candidate.documents.platform.tree
            line = None if tree is None else tree.line(("version",))
            raise InvalidDocument([Finding(delivery.name, line, "version", rule, str(candidate.version), rule_id)])

    # Deciding

    async def _settled(self, bootstrap: Bootstrap, settings: PolicySettings, reading: Reading, offer: _Offer) -> Loaded:
        """Whether what is offered is for this pod, and what is in force if it is not."""
        memory, candidate = self._memory, offer.candidate
        assert memory is not None
        state = self._state_of(candidate)
        risen = candidate.version > memory.version
        memory.version = max(memory.version, candidate.version)
        if state not in (RolloutState.NONE, RolloutState.ADOPTED):
            if risen:
                await self._keep()
            loaded = await self._older(bootstrap, settings, reading, state, candidate.version)
            return replace(loaded, candidate=candidate if state is RolloutState.DRY_RUN else None)
        kept = Kept.of(offer.delivery, candidate.version, offer.etag)
        current = memory.current
        if current != kept:
            if current is not None and current.version != kept.version:
                memory.previous = current
            memory.current = kept
            await self._keep()
        return self._loaded(candidate, reading, PolicyOrigin.SOURCE, state, candidate.version, poll=_poll(settings))

    def _state_of(self, candidate: Snapshot) -> RolloutState:
        assert self._memory is not None
        plan = candidate.rollout
        if candidate.version in self._memory.aborted:
            return RolloutState.ABORTED
        if plan is not None and not position(candidate.service, self._pod, candidate.version) < plan.percent:
            return RolloutState.HELD
        if candidate.dry_run:
            return RolloutState.DRY_RUN
        return RolloutState.NONE if plan is None else RolloutState.ADOPTED

    async def _older(
        self, bootstrap: Bootstrap, settings: PolicySettings, reading: Reading, state: RolloutState, offered: int
    ) -> Loaded:
        """The snapshot in force while a version is not for this pod: the one before, or the named `previous`."""
        memory = self._memory
        assert memory is not None
        poll = _poll(settings)
        if memory.current is not None:
            snapshot = await asyncio.to_thread(_judged, bootstrap, settings, memory.current.delivery, self._wall())
            return self._loaded(snapshot, reading, PolicyOrigin.SOURCE, state, offered, poll=poll)
        rule = f"is not named, nothing is kept, and version {offered} is not for this pod"
        reasons = [replace(bootstrap.policy_tree.finding(("policy", "previous"), rule, item=("policy",)), line=None)]
        if settings.previous is not UNSET:
            try:
                delivery = await self._previous(bootstrap, settings, settings.previous, reading)
                snapshot = await asyncio.to_thread(_judged, bootstrap, settings, delivery, self._wall())
            except InvalidDocument as error:
                reasons = list(error.findings)
            else:
                memory.current = Kept.of(delivery, snapshot.version, None)
                await self._keep()
                return self._loaded(snapshot, reading, PolicyOrigin.PREVIOUS, state, offered, poll=poll)
        return replace(self._baseline(bootstrap, reading, reasons), rollout=state, offered=offered)

    async def _previous(
        self, bootstrap: Bootstrap, settings: PolicySettings, written: str, reading: Reading
    ) -> Delivery:
        if written.startswith("https://"):
            answer = await self._fetch(_address(bootstrap, settings, written), None)
            assert answer.delivery is not None
            return answer.delivery
        return _local(bootstrap.policy_path(written), reading, signed=bool(settings.keys))

    # Falling back

    async def _from_copy_if_it_holds(
        self, bootstrap: Bootstrap, reading: Reading, error: InvalidDocument
    ) -> Loaded | None:
        try:
            return await self._from_copy(bootstrap, reading, error)
        except InvalidDocument:
            return None

    async def _from_copy(self, bootstrap: Bootstrap, reading: Reading, error: InvalidDocument | None) -> Loaded | None:
        """The last good policy, verified and judged again; None when there is none. Raises InvalidDocument."""
        settings, memory = bootstrap.policy, self._memory
        if settings is None or memory is None or memory.current is None:
            return None
        kept = memory.current
        delivery = replace(kept.delivery, name=f"{kept.name} (last good copy)")
        snapshot = await asyncio.to_thread(_judged, bootstrap, settings, delivery, self._wall())
        reasons = () if error is None else error.findings
        warning = f"the last good copy of the policy, version {snapshot.version}, is in force until its source answers"
        state = RolloutState.NONE if snapshot.rollout is None else RolloutState.ADOPTED
        if settings.url is not UNSET and error is None:
            known = (reading.fingerprint, bootstrap.content, kept.delivery)
            candidate = await asyncio.to_thread(_judged, bootstrap, settings, kept.delivery, self._wall())
            self._offer = _Offer(known, kept.delivery, kept.etag, candidate)
        return self._loaded(
            snapshot,
            reading,
            PolicyOrigin.COPY,
            state,
            snapshot.version,
            warnings=(warning, *map(str, reasons)),
            poll=_poll(settings),
        )

    def _baseline(self, bootstrap: Bootstrap, reading: Reading, reasons: list[Finding]) -> Loaded:
        assert bootstrap.policy is not None
        warning = "no valid policy could be had: the compiled-in baseline is in force"
        return self._loaded(
            baseline(bootstrap, self._wall()),
            reading,
            PolicyOrigin.BASELINE,
            RolloutState.NONE,
            0,
            warnings=(warning, *map(str, reasons)),
            poll=_poll(bootstrap.policy),
        )

    def _loaded(
        self,
        snapshot: Snapshot,
        reading: Reading,
        origin: PolicyOrigin,
        rollout: RolloutState,
        offered: int,
        *,
        warnings: tuple[str, ...] = (),
        poll: float | None = None,
    ) -> Loaded:
        frozen = mounted_by_themselves(reading.contents)
        return Loaded(
            snapshot=snapshot,
            origin=origin,
            rollout=rollout,
            offered=offered,
            candidate=None,
            warnings=(
                *warnings,
                *(
                    f"{file} is mounted by itself (subPath?) and will never be updated: mount its directory"
                    for file in frozen
                ),
                *self._unread,
                *(fault for fault in (self._forgotten, self._cache_fault) if fault is not None),
            ),
            watched=tuple(reading.contents),
            fingerprint=reading.fingerprint,
            poll=poll,
            confirmed=self._wall().timestamp(),
        )

    # Remembering

    async def _remember(self, bootstrap: Bootstrap, settings: PolicySettings) -> None:
        """Have the memory of this source at hand: from the disk the first time, and whenever it is another source."""
        source = str(bootstrap.policy_file if settings.url is UNSET else settings.url)
        if settings.cache is UNSET:
            self._cache = None
        else:
            self._cache = PolicyCache(bootstrap.policy_path(settings.cache), bootstrap.sidecar.service)
        if self._memory is not None and self._memory.source == source:
            return
        self._cache_fault = self._forgotten = None
        self._last = self._offer = None
        recalled = None
        if self._cache is not None:
            try:
                recalled = await asyncio.to_thread(self._cache.recall, source)
            except CacheFault as fault:
                # Told for as long as the process lives: who can spoil the memory can bring back older rules.
                self._forgotten = f"{fault}; the highest version seen is forgotten"
        self._memory = recalled or Memory(source=source)

    async def _keep(self) -> None:
        """Write the memory to the cache. A failure changes nothing about the policy in force; it becomes a warning."""
        if self._cache is None or self._memory is None:
            return
        try:
            await asyncio.to_thread(self._cache.keep, self._memory)
        except CacheFault as fault:
            self._cache_fault = str(fault)
        else:
            self._cache_fault = None


def _now() -> datetime:
    return datetime.now(UTC)


def _judged(bootstrap: Bootstrap, settings: PolicySettings, delivery: Delivery, now: datetime) -> Snapshot:
    """Verify the signature first, so that not a line of unsigned bytes is parsed."""
    if settings.keys:
        signature.require(
            signature.POLICY, delivery.content, delivery.signature, delivery.name, settings.keys, settings.required
        )
    return compiled(bootstrap, delivery, [], now)


def _content_of(boot: BootSource, reading: Reading) -> bytes | None:
    """The bytes of the sidecar file; None where there is none, and none is needed."""
    if boot.file is None or (boot.optional and isinstance(reading.contents[boot.file], str) and _absent(boot.file)):
        return None
    return _said(boot.file, reading)


def _absent(file: Path) -> bool:
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _said(file: Path, reading: Reading) -> bytes:
    content = reading.contents[file]
    if isinstance(content, str):
        raise InvalidDocument([Finding(str(file), None, "", f"can not be read: {content}", rule_id=RuleId.UNREADABLE)])
    return content


def _policy_files(bootstrap: Bootstrap) -> list[Path]:
    """Every local file that is policy or signature."""
    files: list[Path] = []
    settings = bootstrap.policy
    if settings is None:
        return files
    documents = [] if bootstrap.policy_file is None else [bootstrap.policy_file]
    if settings.previous is not UNSET and not settings.previous.startswith("https://"):
        documents.append(bootstrap.policy_path(settings.previous))
    for document in documents:
        files.append(document)
        if settings.keys:
            files.append(_beside(document))
    return files


def _local(file: Path, reading: Reading, *, signed: bool) -> Delivery:
    """The policy in a file. Raises Unreachable when it can not be read; without its signature it is a delivery."""
    content = reading.contents[file]
    if isinstance(content, str):
        raise Unreachable([Finding(str(file), None, "", f"can not be read: {content}", rule_id=RuleId.UNREADABLE)])
    beside = reading.contents[_beside(file)] if signed else None
    return Delivery(str(file), content, beside if isinstance(beside, bytes) else None)


def _beside(file: Path) -> Path:
    return file.with_name(file.name + signature.SUFFIX)


def _address(bootstrap: Bootstrap, settings: PolicySettings, url: str) -> PolicyAddress:
    return PolicyAddress(
        url=str(url),  # plain text from here on: it is kept on disk as the name of what came
        timeout=float(settings.timeout),
        ca=None if settings.ca is UNSET else bootstrap.policy_path(settings.ca),
        token_file=None if settings.token_file is UNSET else bootstrap.policy_path(settings.token_file),
        signed=bool(settings.keys),
    )


def _poll(settings: PolicySettings) -> float | None:
    return None if settings.url is UNSET else float(settings.poll)
