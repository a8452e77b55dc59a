"""A shared store: Redis or Valkey, one Lua script for every transition.

A record is a string, its version before it; beside a record that rejects stands a tombstone, which has no end. All keys
share one hash tag, so that a cluster keeps them on one node and a script sees them all.

What it promises is what Redis promises: a failover to a replica that had not seen the last second forgets the keys of
that second. A holder who is still at it writes its record again when it renews or ends; a key that had been completed
in that second is new, and may run twice. Where that is too much, PostgreSQL is the store.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from hashlib import sha1
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from sidecar.idempotency.record import (
    FENCE_BYTES,
    TOMBSTONE,
    DamagedRecord,
    KeyRecord,
    KeyState,
    decode_record,
    encode_record,
)
from sidecar.idempotency.store import StoredKey, StoreUnavailable, Swapped, UnfitStore

_VERSION_BYTES: Final = FENCE_BYTES + 4
_MOST_TOGETHER: Final = 128
_PREFIX: Final = b"{sidecar-idempotency}:"
_OPEN: Final = _PREFIX + b"open"
"""Keys that are in flight or unknown, by when their lease lapses or they became unknown."""

_SWAP: Final = """\
local value = redis.call('GET', KEYS[1])
local time = redis.call('TIME')
local gone = not value and redis.call('EXISTS', KEYS[2]) == 1
local same
if ARGV[1] == '' then
  same = not value and not gone
else
  same = value and string.sub(value, 1, 20) == ARGV[1]
end
if not same then
  return {0, value, gone and 1 or 0, time[1], time[2]}
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if ARGV[4] == '1' then redis.call('SET', KEYS[2], '') else redis.call('DEL', KEYS[2]) end
if ARGV[5] == '' then redis.call('ZREM', KEYS[3], ARGV[6]) else redis.call('ZADD', KEYS[3], ARGV[5], ARGV[6]) end
return {1, false, 0, time[1], time[2]}
"""
_READ: Final = """\
local time = redis.call('TIME')
return {1, redis.call('GET', KEYS[1]), redis.call('EXISTS', KEYS[2]), time[1], time[2]}
"""
_DIGESTS: Final = {script: sha1(script.encode(), usedforsecurity=False).hexdigest() for script in (_SWAP, _READ)}
"""The SHA-1 by which Redis knows each script."""

_Arguments = tuple[bytes | float | str, ...]


class RedisStore:
    """Records in one Redis. Implements `store.Store`."""

    shared = True

    def __init__(self, url: str, password: str | None = None, timeout: float = 2.0) -> None:
        """`url` as in redis://host:6379/0, or rediss:// for TLS."""
        self._redis: Redis = Redis.from_url(
            url,
            password=password,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
        self._waiting: list[tuple[str, _Arguments, asyncio.Future[Any]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """See `store.Store`. Refuses a Redis that would throw keys away when its memory is full."""
        try:
            memory = await self._redis.info("memory")
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"Redis: {error}") from error
        policy = memory.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise UnfitStore(
                f"Redis throws keys away when it is full: maxmemory-policy must be noeviction, is {policy}"
            )

    async def close(self) -> None:
        """See `store.Store`."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
        await self._redis.aclose()

    async def swap(self, key: bytes, expected: KeyRecord | None, record: KeyRecord) -> Swapped:
        """See `store.Store`."""
        version = b"" if expected is None else expected.version
        stays = record.rejects and record.state is not KeyState.RELEASED
        milliseconds = max(1, math.ceil((record.ends_at - record.at) * 1000))
        match record.state:
            case KeyState.IN_FLIGHT:
                score: float | str = record.at + record.lease
            case KeyState.UNKNOWN:
                score = record.at
            case _:
                score = ""
        value = record.version + encode_record(record)
        keys = (_PREFIX + key, _PREFIX + b"gone:" + key, _OPEN)
        return await self._run(_SWAP, 3, (*keys, version, value, milliseconds, "1" if stays else "0", score, key))

    async def read(self, key: bytes) -> Swapped:
        """See `store.Store`."""
        return await self._run(_READ, 2, (_PREFIX + key, _PREFIX + b"gone:" + key))

    async def unknown(self, limit: int) -> Sequence[StoredKey]:
        """See `store.Store`."""
        try:
            seconds, micros = await self._redis.time()
            now = seconds + micros / 1e6
            members: list[Any] = await self._redis.zrangebyscore(_OPEN, 0, now, start=0, num=limit)
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"Redis: {error}") from error
        found = [StoredKey(key, swapped.current) for key in members if (swapped := await self.read(key)).current]
        return [stored for stored in found if stored.record.state is KeyState.UNKNOWN or stored.record.lapsed(now)]

    async def scan(self, scope: bytes | None) -> AsyncIterator[StoredKey]:
        """See `store.Store`."""
        try:
            async for name in self._redis.scan_iter(match=_PREFIX + b"*", count=500):
                key = name[len(_PREFIX) :]
                if len(key) != 32:
                    continue
                record = (await self.read(key)).current
                if record is not None and (scope is None or record.scope == scope):
                    yield StoredKey(key, record)
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"Redis: {error}") from error

    async def purge(self, limit: int) -> int:
        """Redis lets go of records by itself; only the list of open ones is looked after here."""
        try:
            seconds, _ = await self._redis.time()
            members: list[Any] = await self._redis.zrangebyscore(_OPEN, 0, seconds, start=0, num=limit)
            over = [key for key in members if not await self._redis.exists(_PREFIX + key)]
            return int(await self._redis.zrem(_OPEN, *over)) if over else 0
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"Redis: {error}") from error

    async def _run(self, script: str, keys: int, arguments: _Arguments) -> Swapped:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((script, (keys, *arguments), future))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.get_running_loop().create_task(self._send())
        done, value, gone, seconds, micros = await future
        now = int(seconds) + int(micros) / 1e6
        try:
            current = (
                TOMBSTONE
                if gone and value is None
                else None
                if value is None
                else decode_record(value[_VERSION_BYTES:])
            )
        except DamagedRecord as error:
            raise StoreUnavailable(f"Redis: a damaged record: {error}") from error
        return Swapped(bool(done), current, now)

    async def _send(self) -> None:
        """Send what waits together, until nothing waits: one round trip and one system call for all of it."""
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST_TOGETHER], self._waiting[_MOST_TOGETHER:]
            try:
                results = await self._round_trip(batch)
            except (RedisError, OSError) as error:
                results = [StoreUnavailable(f"Redis: {error}")] * len(batch)
            except asyncio.CancelledError:
                for _, _, future in batch:
                    future.cancel()
                raise
            for (_, _, future), result in zip(batch, results, strict=True):
                if future.done():  # the caller has gone
                    continue
                if isinstance(result, Exception):
                    known = isinstance(result, StoreUnavailable)
                    future.set_exception(result if known else StoreUnavailable(f"Redis: {result}"))
                else:
                    future.set_result(result)

    async def _round_trip(self, batch: Sequence[tuple[str, _Arguments, Any]]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for script, arguments, _ in batch:
            pipeline.execute_command("EVALSHA", _DIGESTS[script], *arguments)
        results: list[Any] = await pipeline.execute(raise_on_error=False)
        if any(isinstance(result, NoScriptError) for result in results):
            # A server that was restarted, or another one: it is told the scripts, and asked what it did not know again.
            await self._redis.script_load(_SWAP)
            await self._redis.script_load(_READ)
            for index, (script, arguments, _) in enumerate(batch):
                if isinstance(results[index], NoScriptError):
                    try:
                        results[index] = await self._redis.evalsha(_DIGESTS[script], int(arguments[0]), *arguments[1:])
                    except RedisError as error:
                        results[index] = error
        return results
