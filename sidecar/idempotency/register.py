"""The register of keys: a store, and the ledger's rules applied to it, one transition at a time.

Every transition is read, judged and swapped in; when another was quicker it is judged again by its record. That
a swap's answer was lost does no harm: asked again, the ledger finds its own fence there.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import structs

from sidecar.engine.histogram import Histogram
from sidecar.idempotency.ledger import Applied, Complete, Doubt, Event, Release, Renew, apply
from sidecar.idempotency.record import KeyRecord
from sidecar.idempotency.store import Store, StoredKey, StoreUnavailable

STORE_TIMEOUT_SECONDS: Final = 2.0
_TRIES: Final = 32
"""Swaps that may fail because others were quicker: each means that one of them went on."""
_PAUSE_SECONDS: Final = 0.002
_SKEW_SECONDS: Final = 5.0
"""Between the store's clock and what it was carried on to, from which a time that was written is corrected."""
_LOST_ANSWERS: Final = 1
"""Times a transition is asked for again when the store did not answer."""


class Register:
    """Transitions of keys in one store.

    `clock` is monotonic; between two answers of the store it carries the store's clock on.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float] = time.monotonic,
        timeout: float = STORE_TIMEOUT_SECONDS,
    ) -> None:
        self.store = store
        self._clock = clock
        self._timeout = timeout
        self._ahead: float | None = None
        """Of the store's clock before ours."""
        self.failures = 0
        """Times the store was unavailable, since the start."""
        self.failing = False
        """Whether it was when it was asked last."""
        self.seconds = Histogram()
        """Of all transitions, those among them that failed: the seconds that each took."""

    async def open(self) -> None:
        """Open the store. Raises UnfitStore and StoreUnavailable."""
        await self.store.open()
        await self.read(bytes(32))

    async def close(self) -> None:
        """Close the store."""
        await self.store.close()

    async def apply(self, key: bytes, event: Event) -> Applied:
        """Make the transition that `event` is for this key. Raises StoreUnavailable; it may have been made then."""
        for lost in range(_LOST_ANSWERS + 1):
            began = self._clock()
            try:
                async with asyncio.timeout(self._timeout):
                    applied = await self._apply(key, event)
            except (StoreUnavailable, TimeoutError) as error:
                self.failures += 1
                self.failing = True
                if lost == _LOST_ANSWERS or isinstance(error, TimeoutError):
                    raise StoreUnavailable(str(error) or "no answer in time") from error
            else:
                self.failing = False
                return applied
            finally:
                self.seconds.observe(self._clock() - began)
        raise AssertionError

    async def read(self, key: bytes) -> KeyRecord | None:
        """The record of a key; None for an unknown one. Raises StoreUnavailable."""
        sent = self._clock()
        try:
            async with asyncio.timeout(self._timeout):
                found = await self.store.read(key)
        except TimeoutError as error:
            raise StoreUnavailable("no answer in time") from error
        self._heard(found.now, sent)
        return found.current

    async def unknown(self, limit: int = 1000) -> Sequence[StoredKey]:
        """Keys whose outcome waits to be found out. Raises StoreUnavailable."""
        return await self.store.unknown(limit)

    def now(self) -> float:
        """The store's clock, as far as it is known."""
        return self._clock() + (self._ahead or 0.0)

    async def _apply(self, key: bytes, event: Event) -> Applied:
        current = _expected(event)
        now = self.now()
        if self._ahead is None:  # what it would be guessed by is another clock
            current, now = await self._ask(key)
        for attempt in range(_TRIES):
            applied = apply(current, event, now)
            if not applied.changed or applied.record is None:
                # What was only supposed is not ruled upon: the store is asked first.
                if attempt:
                    return applied
                current, now = await self._ask(key)
                applied = apply(current, event, now)
                if not applied.changed or applied.record is None:
                    return applied
            sent = self._clock()
            swapped = await self.store.swap(key, current, applied.record)
            self._heard(swapped.now, sent)
            if swapped.done:
                if abs(swapped.now - now) <= _SKEW_SECONDS:
                    return applied
                # The store's clock is not the one it was: a failover, or a machine that slept. What was written with
                # the old one must not end by the new one.
                restamped = structs.replace(applied.record, at=swapped.now, revision=applied.record.revision + 1)
                again = await self.store.swap(key, applied.record, restamped)
                if again.done:
                    return Applied(applied.ruling, restamped, changed=True)
                swapped = again
            current, now = swapped.current, swapped.now
            if attempt:
                await asyncio.sleep(_PAUSE_SECONDS * attempt)
        raise StoreUnavailable("the record kept changing")

    async def _ask(self, key: bytes) -> tuple[KeyRecord | None, float]:
        sent = self._clock()
        found = await self.store.read(key)
        self._heard(found.now, sent)
        return found.current, found.now

    def _heard(self, now: float, sent: float) -> None:
        self._ahead = now - (sent + self._clock()) / 2


def _expected(event: Event) -> KeyRecord | None:
    """The record that an event most likely meets, so that one round trip does: none for a claim, else what is held."""
    return event.held if isinstance(event, Renew | Complete | Release | Doubt) else None
