"""A policy from an https address: asked for again and again, changed or not, and distrusted all the way.

Whatever the server does, an answer comes in bounded time and bytes, or one finding that says what it did instead.
"""

import asyncio
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import aiohttp
from yarl import URL

from sidecar.governance.documents.file import read_regular
from sidecar.governance.documents.finding import Finding, RuleId, shown
from sidecar.governance.documents.yaml import SIZE_CEILING_BYTES
from sidecar.governance.loading.bounded_connector import BoundedConnector, TooMuchSent
from sidecar.governance.loading.policy_address import Answer, PolicyAddress
from sidecar.governance.policy.delivery import Delivery, Unreachable
from sidecar.governance.trust import signature
from sidecar.net import redacted

REDIRECTS_CEILING: Final = 3
CA_CEILING_BYTES: Final = 4 << 20
TOKEN_CEILING_BYTES: Final = 16 << 10

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_ETAG_CEILING: Final = 256


class Remote:
    """Fetches documents. Holds no connection between two of them: they are half a minute apart."""

    def __init__(self) -> None:
        self._trust: tuple[bytes | None, ssl.SSLContext] | None = None

    async def fetch(self, address: PolicyAddress, etag: str | None) -> Answer:
        """Ask once. `etag` is of what is known already. Raises Unreachable."""
        try:
            async with asyncio.timeout(address.timeout):
                context = await asyncio.to_thread(self._context, address.ca)
                headers = await asyncio.to_thread(_headers, address.token_file)
                connector = BoundedConnector(context)
                async with aiohttp.ClientSession(
                    connector=connector, headers=headers, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
                ) as session:
                    return await _fetch(session, address, etag)
        except TooMuchSent as error:
            raise _unreachable(address.url, str(error)) from None
        except TimeoutError:
            raise _unreachable(address.url, f"gave no whole answer within {address.timeout:g} s") from None
        except (aiohttp.ClientError, ssl.SSLError, OSError, UnicodeError) as error:
            raise _unreachable(address.url, f"can not be fetched: {_told(error)}") from None

    def _context(self, ca: Path | None) -> ssl.SSLContext:
        """The authorities to trust. The file is read each time, and parsed only when it has changed."""
        try:
            content = None if ca is None else read_regular(ca, CA_CEILING_BYTES)
            if self._trust is None or self._trust[0] != content:
                context = ssl.create_default_context(cadata=None if content is None else content.decode("ascii"))
                context.minimum_version = ssl.TLSVersion.TLSv1_2
                self._trust = (content, context)
        except (ssl.SSLError, ValueError):
            raise _unreachable(str(ca), "must hold certificates in PEM") from None
        except OSError as error:
            raise _unreachable(str(ca), f"can not be read: {_told(error)}", rule_id=RuleId.UNREADABLE) from None
        return self._trust[1]


def signature_url(url: str) -> str:
    """The address of the signature: the path with its suffix, the query as it is."""
    path, mark, query = url.partition("?")
    return f"{path}{signature.SUFFIX}{mark}{query}"


async def _fetch(session: aiohttp.ClientSession, address: PolicyAddress, etag: str | None) -> Answer:
    conditional = {} if etag is None else {"If-None-Match": etag}
    status, content, found = await _get(session, address.url, conditional, SIZE_CEILING_BYTES, absent=False)
    if status == 304:
        return Answer(None, etag)
    assert content is not None
    signed = None
    if address.signed:
        _, signed, _ = await _get(session, signature_url(address.url), {}, signature.SIZE_CEILING_BYTES, absent=True)
    return Answer(Delivery(redacted(address.url), content, signed), found)


async def _get(
    session: aiohttp.ClientSession, url: str, headers: Mapping[str, str], ceiling_bytes: int, *, absent: bool
) -> tuple[int, bytes | None, str | None]:
    """Status, body and ETag; `absent` takes a 404 for an answer. Raises Unreachable and what aiohttp does."""
    place = URL(url, encoded=True)
    for _ in range(REDIRECTS_CEILING + 1):
        async with session.get(place, headers=headers, allow_redirects=False) as response:
            status = response.status
            if status in _REDIRECTS:
                place = _redirected(url, place, response.headers.get("Location", ""))
                continue
            if status == 304 and "If-None-Match" in headers:
                return status, None, None
            if status == 404 and absent:
                return status, None, None
            if status != 200:
                raise _unreachable(url, f"answered {status}")
            return status, await _body(url, response, ceiling_bytes), _etag(response.headers.get("ETag"))
    raise _unreachable(url, f"redirected more than {REDIRECTS_CEILING} times")


def _redirected(url: str, place: URL, location: str) -> URL:
    """Refuse another host: the token would go there, and that host's owner would govern the fleet."""
    try:
        target = place.join(URL(location))
        same = bool(location) and target.origin() == place.origin() and target.user is None
    except ValueError:
        same = False
    if not same:
        raise _unreachable(url, "redirected to another host", location)
    return target


async def _body(url: str, response: aiohttp.ClientResponse, ceiling_bytes: int) -> bytes:
    """The whole of it. What does not say where it ends may have been cut, and is refused."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if kind in {"text/html", "application/xhtml+xml"}:
        raise _unreachable(url, "answered with a web page, not with a policy")
    if coding not in {"", "identity"}:
        raise _unreachable(url, "answered compressed, which was not asked for", coding)
    chunked = response.headers.get("Transfer-Encoding", "").strip().lower() == "chunked"
    if response.content_length is None and not chunked:
        raise _unreachable(url, "does not say where its answer ends (Content-Length)")
    content = bytearray()
    if (response.content_length or 0) <= ceiling_bytes:
        async for piece in response.content.iter_any():
            content += piece
            if len(content) > ceiling_bytes:
                break
        else:
            return bytes(content)
    raise _unreachable(url, f"answered with more than {ceiling_bytes >> 10}KiB")


def _headers(token_file: Path | None) -> dict[str, str]:
    headers = {"Accept": "application/yaml, */*", "Accept-Encoding": "identity", "User-Agent": "sidecar"}
    if token_file is not None:
        try:
            token = read_regular(token_file, TOKEN_CEILING_BYTES).decode("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise _unreachable(str(token_file), f"can not be read: {_told(error)}", rule_id=RuleId.UNREADABLE) from None
        if not token or len(token) > TOKEN_CEILING_BYTES or not token.isprintable() or " " in token:
            raise _unreachable(str(token_file), "must hold one token, without blanks")
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _etag(written: str | None) -> str | None:
    """RFC 9110 §8.8.3: an entity tag is quoted. What is none, or is huge, is not sent back."""
    if written is None or len(written) > _ETAG_CEILING or not written.isascii() or not written.isprintable():
        return None
    return written if written.endswith('"') and written.removeprefix("W/").startswith('"') else None


def _told(error: Exception) -> str:
    """The reason, without addresses and objects around it."""
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {cause.verify_message}"
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno > 0:
        return os.strerror(cause.errno)
    if isinstance(error, aiohttp.ClientPayloadError):
        return "its answer broke off"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it hung up"
    return redacted(str(error)) or type(error).__name__


def _unreachable(name: str, rule: str, value: str | None = None, *, rule_id: RuleId = RuleId.VALUE) -> Unreachable:
    return Unreachable([Finding(redacted(name), None, "", rule, None if value is None else shown(value), rule_id)])
