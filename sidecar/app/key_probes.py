"""Asks the service itself what became of a key whose outcome is unknown, beside the requests and never before one.

A key is asked for when its run ends in doubt, and when a request finds it unknown: the key itself is needed for it, and
is stored nowhere. Each key is asked for a few times, few of them at once; an answer that says neither leaves it so, for
`sidecar idempotency resolve`. The service must answer `not_applied` only when it can exclude that a run of the key is
still going on in it.
"""

import asyncio
import importlib
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from sidecar.governance.policy.contract import KeyProbe
from sidecar.idempotency.answer import StoredAnswer, answer_of, kept_fields
from sidecar.idempotency.gate import IngressGate, ProbeOutcome, UnknownKey
from sidecar.idempotency.ledger import LedgerRuling, Resolve
from sidecar.idempotency.store import StoreUnavailable
from sidecar.net import Endpoint

PAUSES_SECONDS: Final = (5.0, 30.0, 120.0)
"""Between one time a key is asked for and the next; the first is `after` seconds after it became unknown."""
TIMEOUT_SECONDS: Final = 5.0
AT_ONCE: Final = 4
MOST_WAITING: Final = 1000
"""Keys that are being asked for. One beyond it waits for the next request that carries it."""
BY: Final = "probe"
"""The resolver's name in the journal."""
_USER_AGENT: Final = "retry-sidecar-probe"


class KeyProbes:
    """The questions of one gate. `service` is where it is, None while there is none."""

    def __init__(
        self,
        gate: IngressGate,
        service: Callable[[], Endpoint | None],
        *,
        pauses: tuple[float, ...] = PAUSES_SECONDS,
    ) -> None:
        self._gate = gate
        self._service = service
        self._pauses = pauses
        self._session: Any = None
        """An aiohttp.ClientSession. aiohttp is imported with the first question: it is a third of the start."""
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._asked: dict[bytes, asyncio.Task[None]] = {}

    def ask(self, unknown: UnknownKey) -> None:
        """Have the service asked for a key, unless it is being asked already."""
        if unknown.digest in self._asked or len(self._asked) >= MOST_WAITING:
            return
        task = asyncio.get_running_loop().create_task(self._resolve(unknown))
        self._asked[unknown.digest] = task
        task.add_done_callback(lambda _: self._asked.pop(unknown.digest, None))

    async def close(self) -> None:
        """Ask no more."""
        tasks = list(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _resolve(self, unknown: UnknownKey) -> None:
        probe = _probe_of(unknown)
        passed = self._gate.register.now() - unknown.since
        first = min(probe.after, max(0.0, probe.after - passed))
        for pause in (first, *self._pauses):
            await asyncio.sleep(pause)
            async with self._turns:
                outcome = await self._once(unknown)
            self._gate.count_probe(unknown.route, outcome)
            if outcome not in (ProbeOutcome.UNDECIDED, ProbeOutcome.FAILED):
                return

    async def _once(self, unknown: UnknownKey) -> ProbeOutcome:
        probe = _probe_of(unknown)
        try:
            answer = await self._answer(unknown)
            if answer.status in probe.applied:
                outcome = ProbeOutcome.APPLIED
            elif answer.status in probe.not_applied:
                outcome = ProbeOutcome.NOT_APPLIED
            else:
                return ProbeOutcome.UNDECIDED
            applied = outcome is ProbeOutcome.APPLIED
            stored = self._gate.kept(unknown.route, answer, unknown.digest) if applied else b""
            why = f"{probe.method} answered {answer.status}"
            event = Resolve(applied, BY, why, answer.status if applied else 0, stored)
            settled = await self._gate.register.apply(unknown.digest, event)
        except (OSError, TimeoutError, StoreUnavailable):
            return ProbeOutcome.FAILED
        return outcome if settled.ruling is LedgerRuling.DONE else ProbeOutcome.SETTLED

    async def _answer(self, unknown: UnknownKey) -> StoredAnswer:
        """The service's answer. Raises OSError where there is no service, or none that answers."""
        aiohttp: Any = await asyncio.to_thread(importlib.import_module, "aiohttp")
        try:
            return await self._answer_by(aiohttp, unknown)
        except aiohttp.ClientError as error:
            raise OSError(0, str(error)) from error

    async def _answer_by(self, aiohttp: Any, unknown: UnknownKey) -> StoredAnswer:
        service = self._service()
        if service is None:
            raise OSError("no service")
        if self._session is None:
            # Nothing of it is shared with requests: neither a connection nor a limit, and no proxy of the environment.
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
            jar = aiohttp.DummyCookieJar()
            self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=jar, auto_decompress=False)
        probe = _probe_of(unknown)
        path = probe.path.replace("{key}", quote(unknown.key.decode("ascii"), safe=""))
        headers = [("User-Agent", _USER_AGENT), *unknown.fields]
        asked = self._session.request(
            probe.method,
            aiohttp.client.URL(f"{service}{path}", encoded=True),
            headers=headers,
            allow_redirects=False,
            skip_auto_headers=("Accept", "Accept-Encoding"),
        )
        async with asked as response:
            limit = self._gate.max_response_bytes
            body = await response.content.read(limit + 1)
            while len(body) <= limit and (more := await response.content.read(limit + 1 - len(body))):
                body += more
            fields = b"".join(name + b": " + value + b"\r\n" for name, value in response.raw_headers)
        line = f"{response.status} {response.reason or 'Resolved'}".encode("latin-1", "replace")
        if len(body) > limit or probe.method == "HEAD":
            kept = answer_of(response.status, line, fields, b"")
            return StoredAnswer(kept.status, line, kept_fields(fields), None, len(body), kept.digest)
        return answer_of(response.status, line, fields, body)


def _probe_of(unknown: UnknownKey) -> KeyProbe:
    contract = unknown.route.contract
    assert contract is not None
    assert contract.probe is not None
    return contract.probe
