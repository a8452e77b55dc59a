"""The ingress gate of a snapshot, with the store that its documents name."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from sidecar.app.key_probes import KeyProbes
from sidecar.governance.policy.contract import KeyStore
from sidecar.governance.policy.snapshot import IngressSnapshot
from sidecar.idempotency.answer import AnswerSeal
from sidecar.idempotency.gate import IngressGate
from sidecar.idempotency.register import Register
from sidecar.idempotency.store import Store, StoreUnavailable, UnfitStore
from sidecar.idempotency.stores.memory import MemoryStore

_REOPEN_SECONDS: Final = 2.0
_PURGE_SECONDS: Final = 30.0
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


class UndeclaredLog:
    """Says which requests with side effects no route declares: one line a minute at most, with how many there were.

    The path is the caller's: it is cut, and stands in the log alone, never in a metric.
    """

    def __init__(self, tell: Tell, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._tell = tell
        self._clock = clock
        self._silent_until = 0.0
        self._unsaid = 0

    def __call__(self, method: bytes, path: bytes) -> None:
        """One more such request."""
        self._unsaid += 1
        now = self._clock()
        if now < self._silent_until:
            return
        said = {"method": method.decode("ascii", "replace"), "path": path[:_SHOWN_BYTES].decode("ascii", "replace")}
        self._tell("warning", "request_undeclared", **said, requests=self._unsaid)
        self._silent_until = now + _SILENCE_SECONDS
        self._unsaid = 0


class GateKeeping:
    """The background work of a gate: opens its store, and drops what has expired."""

    def __init__(self, gate: IngressGate, tell: Tell, probes: KeyProbes | None = None) -> None:
        """`tell` writes a line of the log: a level, an event, and fields; `probes` ask the service."""
        self._gate = gate
        self._tell = tell
        self._probes = probes
        if probes is not None:
            gate.on_unknown = probes.ask
        gate.on_undeclared = UndeclaredLog(tell)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the store. One that can not be reached is tried again, and its routes refuse meanwhile.

        Raises UnfitStore for one that would lose keys.
        """
        is_open = await self._open(first=True)
        self._task = asyncio.get_running_loop().create_task(self._run(is_open=is_open))

    async def stop(self) -> None:
        """Let go of the store."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._probes is not None:
            await self._probes.close()
        await self._gate.close()

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
