"""`sidecar idempotency conform`: requests that show whether an endpoint keeps the Idempotency-Key contract."""

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import click

from sidecar.cli.idempotency.admin_call import give_up

_SECONDS: Final = 30.0
_PROBLEM: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class ConformReply:
    """One answer. `reason` is a problem's, else empty."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def reason(self) -> str:
        """The word of its problem type; empty for what is no problem of the contract's."""
        if self.headers.get("Content-Type", "").partition(";")[0] != _PROBLEM:
            return ""
        try:
            return str(json.loads(self.body).get("type", "")).rpartition(":")[2]
        except (ValueError, AttributeError):
            return ""

    @property
    def replayed(self) -> bool:
        """Whether it says that it is a replay."""
        return self.headers.get("Idempotent-Replayed", "").lower() == "true"

    def __str__(self) -> str:
        word = f" {self.reason}" if self.reason else ""
        return f"{self.status}{word}{' (replayed)' if self.replayed else ''}"


@dataclass(frozen=True, slots=True)
class Deviation:
    """A clause of the contract, and how the endpoint departs from it; None where it does not."""

    clause: str
    found: str | None


class TestedEndpoint:
    """An endpoint under test: sends one request after the other, or many at once."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, method: str, headers: Mapping[str, str], key_header: str
    ) -> None:
        self._session = session
        self._url = url
        self._method = method
        self._headers = headers
        self._key_header = key_header

    async def send(self, body: bytes, *keys: str) -> ConformReply:
        """One request with these values of the key's header."""
        headers = [*self._headers.items(), *((self._key_header, key) for key in keys)]
        async with self._session.request(self._method, self._url, data=body, headers=headers) as answer:
            return ConformReply(answer.status, answer.headers, await answer.read())


async def deviations(
    endpoint: TestedEndpoint, body: bytes, other: bytes, failing: bytes | None, race: int
) -> AsyncIterator[Deviation]:
    """Every clause, one after the other. `failing` is a body that makes the service fail; None: that is not tested."""
    missing = await endpoint.send(body)
    yield _expect("a request without a key is refused: 400 key_missing", missing, 400, "key_missing")
    for name, keys in {
        "is longer than 255 characters": ("x" * 256,),
        "is empty": ("",),
        "is given twice with different values": (_key(), _key()),
    }.items():
        reply = await endpoint.send(body, *keys)
        yield _expect(f"a key that {name} is refused: 400 key_malformed", reply, 400, "key_malformed")
    key = _key()
    replies = await asyncio.gather(*(endpoint.send(body, key) for _ in range(race)))
    yield Deviation(f"of {race} equal requests at once one is run", _race(replies))
    first = await endpoint.send(body, key)
    again = await endpoint.send(body, f'"{key}"')
    yield Deviation("a key is answered as the first time, byte for byte, and says so", _replay(first, again, replies))
    reply = await endpoint.send(other, key)
    yield _expect("a key with another body is refused: 422 key_reused", reply, 422, "key_reused")
    if failing is not None:
        key = _key()
        failed = await endpoint.send(failing, key)
        retried = await endpoint.send(failing, key)
        yield Deviation("a key whose request failed is not run again", _not_again(failed, retried))


def _race(replies: Sequence[ConformReply]) -> str | None:
    run = [reply for reply in replies if not reply.replayed and not 400 <= reply.status < 500]
    others = [reply for reply in replies if not reply.replayed and 400 <= reply.status < 500]
    if len(run) != 1:
        return f"{len(run)} of {len(replies)} were answered as if they had been run: {_counted(run)}"
    wrong = [reply for reply in others if (reply.status, reply.reason) != (409, "in_flight")]
    if wrong:
        return f"others were answered {_counted(wrong)}, not 409 in_flight"
    if any("Retry-After" not in reply.headers for reply in others):
        return "409 in_flight without Retry-After"
    return None


def _replay(first: ConformReply, again: ConformReply, raced: Sequence[ConformReply]) -> str | None:
    for reply in (first, again):
        if not reply.replayed:
            return f"answered {reply} without Idempotent-Replayed: true"
    original = next((reply for reply in raced if not reply.replayed and reply.status < 400), None)
    for reply in (first, again):
        if original is not None and (reply.status, reply.body) != (original.status, original.body):
            sizes = f"{len(reply.body)} bytes instead of {len(original.body)}"
            return f"answered {reply}; the first answer was {original}; {sizes}, or others"
    return None


def _not_again(failed: ConformReply, retried: ConformReply) -> str | None:
    if failed.status < 500:
        return f"the request that was to fail was answered {failed}"
    if retried.replayed or (retried.status, retried.reason) == (409, "outcome_unknown"):
        return None
    return f"answered {failed}, then {retried}: run again, though the first may have had its effect"


def _expect(clause: str, reply: ConformReply, status: int, reason: str) -> Deviation:
    kept = (reply.status, reply.reason) == (status, reason)
    return Deviation(clause, None if kept else f"answered {reply}")


def _counted(replies: Sequence[ConformReply]) -> str:
    words = [str(reply) for reply in replies]
    return ", ".join(f"{words.count(word)} x {word}" for word in dict.fromkeys(words)) or "none"


def _key() -> str:
    return str(uuid.uuid4())


@click.command()
@click.argument("url")
@click.option("--method", default="POST", show_default=True)
@click.option("--body", required=True, metavar="JSON", help="A body that the service accepts. It is sent, and run.")
@click.option("--other", metavar="JSON", help="Another one. [default: the body with a member more]")
@click.option("--failing", metavar="JSON", help="One that makes the service answer 5xx after its effect.")
@click.option("--header", multiple=True, metavar="NAME:VALUE", help="Sent with every request.")
@click.option("--key-header", default="Idempotency-Key", show_default=True)
@click.option("--race", type=click.IntRange(2, 500), default=50, show_default=True, help="Equal requests at once.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def conform(
    *,
    url: str,
    method: str,
    body: str,
    other: str | None,
    failing: str | None,
    header: tuple[str, ...],
    key_header: str,
    race: int,
    form: str,
) -> None:
    """Send requests to URL that show whether it keeps the contract, and say where it does not.

    They are real: the service runs BODY at least once. Exits with 1 if anything deviates.
    """
    headers = {"Content-Type": "application/json"}
    for each in header:
        name, separator, value = each.partition(":")
        if not separator:
            raise click.UsageError(f"--header {each}: must be NAME:VALUE")
        headers[name.strip()] = value.strip()
    try:
        content: Any = json.loads(body)
    except ValueError as error:
        raise click.UsageError(f"--body: is no JSON: {error}") from None
    if other is None:
        if not isinstance(content, dict):
            raise click.UsageError("--other is needed where the body is no JSON object")
        other = json.dumps({**content, "conform": True})
    bodies = (body.encode(), other.encode(), None if failing is None else failing.encode())
    try:
        found = asyncio.run(_conform(url, method, headers, key_header, bodies, race))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        give_up("conform", f"{url}: {error or type(error).__name__}")
    if form == "json":
        click.echo(json.dumps([{"clause": one.clause, "deviation": one.found} for one in found], indent=2))
    else:
        for deviation in found:
            kept = deviation.found is None
            click.echo(f"ok        {deviation.clause}" if kept else f"DEVIATES  {deviation.clause}")
            if not kept:
                click.echo(f"          {deviation.found}")
    sys.exit(1 if any(deviation.found is not None for deviation in found) else 0)


async def _conform(
    url: str,
    method: str,
    headers: Mapping[str, str],
    key_header: str,
    bodies: tuple[bytes, bytes, bytes | None],
    race: int,
) -> list[Deviation]:
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    connector = aiohttp.TCPConnector(limit=race)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        endpoint = TestedEndpoint(session, url, method, headers, key_header)
        return [each async for each in deviations(endpoint, *bodies, race)]
