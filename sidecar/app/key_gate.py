"""The ingress gate of a snapshot, with the store that its documents name."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from sidecar.app.key_probes import KeyProbes
from sidecar.governance.policy.contract import IngressRoute, KeyStore
from sidecar.governance.policy.snapshot import IngressSnapshot
from sidecar.idempotency.answer import AnswerSeal
from sidecar.idempotency.gate import IngressGate
from sidecar.idempotency.register import Register
from sidecar.idempotency.store import Store, StoreUnavailable, UnfitStore
from sidecar.idempotency.stores.memory import MemoryStore

_REOPEN_SECONDS: Final = 2.0
_PURGE_SECONDS: Final = 30.0
_KEY_FILE_SECONDS: Final = 2.0
_PURGED_AT_ONCE: Final = 1000
_SILENCE_SECONDS: Final = 60.0
_SHOWN_BYTES: Final = 200
_STORES: Final = {
    "sqlite": ("sqlite", "SqliteStore"),
    "redis": ("redis", "RedisStore"),
    "postgres": ("postgres", "PostgresStore"),
}

Tell = Callable[..., None]
"""Of an event, with its fields."""


def store_of(settings: KeyStore) -> Store:
    """The store, not yet open. Raises UnfitStore where its extra is not installed, or its password can not be read."""
    if settings.kind == "memory":
        return MemoryStore()
    module, name = _STORES[settings.kind]
    try:
        # Only a sidecar that asks for it carries the client of a database.
        found: Any = getattr(import_module(f"sidecar.idempotency.stores.{module}"), name)
    except ImportError:
        raise UnfitStore(f"{settings.kind} needs the extra: pip install 'retry-sidecar[{settings.kind}]'") from None
    if settings.kind == "sqlite":
        embedded: Store = found(Path(settings.place))
        return embedded
    store: Store = found(settings.place, _password(settings.password_file))
    return store


def seal_of(settings: KeyStore) -> AnswerSeal | None:
    """The cipher of kept answers; None where they are not encrypted. Raises UnfitStore."""
    if settings.encryption_key_file is None:
        return None
    try:
        module: Any = import_module("sidecar.idempotency.aes_gcm_seal")
        seal: AnswerSeal = module.read_seal(settings.encryption_key_file)
    except ImportError:
        raise UnfitStore("encryption needs the extra: pip install 'retry-sidecar[signed]'") from None
    except (ValueError, OSError) as error:
        raise UnfitStore(str(error)) from None
    return seal


def gate_of(ingress: IngressSnapshot | None) -> IngressGate | None:
    """The gate, its store not yet open; None where no route is named. Raises UnfitStore."""
    if ingress is None or not ingress.routes:
        return None
    settings = ingress.key_store or _NO_STORE
    return IngressGate(
        Register(store_of(settings)),
        ingress.routes,
        lease=settings.lease,
        max_request_bytes=settings.max_request_bytes,
        max_response_bytes=settings.max_response_bytes,
        seal=seal_of(settings),
    )


class SeldomLog:
    """Lines of which there is one a minute at most, with how many there would have been."""

    def __init__(self, tell: Tell, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._tell = tell
        self._clock = clock
        self._silent_until = 0.0
        self._unsaid = 0

    def _say(self, level: str, event: str, counted: str, **fields: object) -> None:
        self._unsaid += 1
        now = self._clock()
        if now < self._silent_until:
            return
        self._tell(level, event, **fields, **{counted: self._unsaid})
        self._silent_until = now + _SILENCE_SECONDS
        self._unsaid = 0


class UndeclaredLog(SeldomLog):
    """Says which requests with side effects no route declares.

    The path is the caller's: it is cut, and stands in the log alone, never in a metric.
    """

    def __call__(self, method: bytes, path: bytes) -> None:
        """One more such request."""
        word, shown = method.decode("ascii", "replace"), path[:_SHOWN_BYTES].decode("ascii", "replace")
        self._say("warning", "request_undeclared", "requests", method=word, path=shown)


class UnreadableLog(SeldomLog):
    """Says that kept answers can not be read."""

    def __call__(self, route: IngressRoute, digest: bytes, why: str) -> None:
        """One more such answer; `digest` is what its key is known by."""
        fields = {"route": route.name, "id": digest.hex(), "reason": why}
        self._say("error", "idempotency_answer_unreadable", "answers", **fields)


class KeyFile:
    """The file with the keys of answers, read again when it has changed.

    One that can not be read or used changes nothing: the keys before it stay in force, and it is said once.
    """

    def __init__(self, gate: IngressGate, settings: KeyStore, tell: Tell) -> None:
        """Raises UnfitStore."""
        self._gate = gate
        self._settings = settings
        self._tell = tell
        self._seen = self._content()
        gate.seal = seal_of(settings)  # read after what it is compared with, so that no change in between is missed

    def follow(self) -> None:
        """Take on what the file says now."""
        content = self._content()
        if content == self._seen:
            return
        self._seen = content
        try:
            self._gate.seal = seal_of(self._settings)
        except UnfitStore as error:
            self._tell("error", "idempotency_keys_refused", reason=str(error))
        else:
            self._tell("info", "idempotency_keys_read", file=str(self._settings.encryption_key_file))

    def _content(self) -> bytes:
        """A digest of it; b"" where it can not be read."""
        file = self._settings.encryption_key_file
        assert file is not None
        try:
            return hashlib.sha256(file.read_bytes()).digest()
        except OSError:
            return b""


class GateKeeping:
    """The background work of a gate: opens its store, follows its key file, and drops what has expired."""

    def __init__(
        self, gate: IngressGate, tell: Tell, probes: KeyProbes | None = None, settings: KeyStore | None = None
    ) -> None:
        """`tell` writes a line of the log: a level, an event, and fields; `probes` ask the service.

        `settings` name the key file; None: there is none.
        """
        self._gate = gate
        self._keys = None if settings is None or settings.encryption_key_file is None else KeyFile(gate, settings, tell)
        self._following: asyncio.Task[None] | None = None
        self._tell = tell
        self._probes = probes
        if probes is not None:
            gate.on_unknown = probes.ask
        gate.on_undeclared = UndeclaredLog(tell)
        gate.on_unreadable = UnreadableLog(tell)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the store. One that can not be reached is tried again, and its routes refuse meanwhile.

        Raises UnfitStore for one that would lose keys.
        """
        is_open = await self._open(first=True)
        self._task = asyncio.get_running_loop().create_task(self._run(is_open=is_open))
        if self._keys is not None:
            self._following = asyncio.get_running_loop().create_task(self._follow(self._keys))

    async def stop(self) -> None:
        """Let go of the store."""
        for task in (self._task, self._following):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        if self._probes is not None:
            await self._probes.close()
        await self._gate.close()

    async def _follow(self, keys: KeyFile) -> None:
        """Polled and not watched: a mounted secret is a link that is replaced, and nothing waits for it."""
        while True:
            await asyncio.sleep(_KEY_FILE_SECONDS)
            await asyncio.to_thread(keys.follow)

    async def _open(self, *, first: bool) -> bool:
        try:
            await self._gate.register.open()
        except StoreUnavailable as error:
            if first:
                self._tell("error", "idempotency_store_unavailable", reason=str(error))
            return False
        if not first:
            self._tell("info", "idempotency_store_open")
        return True

    async def _run(self, *, is_open: bool) -> None:
        while not is_open:
            await asyncio.sleep(_REOPEN_SECONDS)
            try:
                is_open = await self._open(first=False)
            except UnfitStore as error:
                self._tell("error", "idempotency_store_unfit", reason=str(error))
        while True:
            with suppress(StoreUnavailable):
                await self._purge()
                self._gate.unknown_waiting = len(await self._gate.register.unknown())
            await asyncio.sleep(_PURGE_SECONDS)

    async def _purge(self) -> None:
        gone = _PURGED_AT_ONCE
        while gone == _PURGED_AT_ONCE:
            gone = await self._gate.register.store.purge(_PURGED_AT_ONCE)


_NO_STORE: Final = KeyStore("memory", "", None, None, 1 << 20, 256 << 10, 30.0)
"""Of routes that are declared only: nothing is ever claimed."""


def _password(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UnfitStore(f"{file}: can not be read: {error.strerror or error}") from None
