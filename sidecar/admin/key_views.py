"""The views of idempotency keys: all of them are POST, so that the admin token is shown for them."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from sidecar.admin.guard import problem
from sidecar.admin.state import AdminState
from sidecar.idempotency.desk import KeyDesk, KeyResolution, NoSuchKey
from sidecar.idempotency.key import MalformedKey
from sidecar.idempotency.store import StoreUnavailable

MIN_REASON: Final = 10
"""Characters of a reason, so that there is one."""

_log = logging.getLogger("sidecar.admin")


class Unusable(Exception):
    """A request that says what can not be done; the text says why."""


class KeyViews:
    """The views over the keys of one AdminState."""

    def __init__(self, state: AdminState) -> None:
        self._state = state

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        return [
            web.post("/idempotency/show", self.show),
            web.post("/idempotency/unknown", self.unknown),
            web.post("/idempotency/list", self.listed),
            web.post("/idempotency/ids", self.ids),
            web.post("/idempotency/resolve", self.resolve),
            web.post("/idempotency/erase", self.erase),
        ]

    async def show(self, request: web.Request) -> web.Response:
        """One key, with its journal."""

        async def answer(desk: KeyDesk, asked: Mapping[str, Any]) -> object:
            return await desk.show(_key(desk, asked))

        return await self._answer(request, answer)

    async def unknown(self, request: web.Request) -> web.Response:
        """Every key whose outcome is unknown."""

        async def answer(desk: KeyDesk, _: Mapping[str, Any]) -> object:
            return {"keys": await desk.unknown()}

        return await self._answer(request, answer)

    async def listed(self, request: web.Request) -> web.Response:
        """Every key of a route whose run had, or may have had, its effect."""

        async def answer(desk: KeyDesk, asked: Mapping[str, Any]) -> object:
            return {"keys": await desk.listed(_text(asked, "route"))}

        return await self._answer(request, answer)

    async def ids(self, request: web.Request) -> web.Response:
        """The digests of the keys, in their order; null for an invalid key."""

        async def answer(desk: KeyDesk, asked: Mapping[str, Any]) -> object:
            written = asked.get("keys")
            if not isinstance(written, list) or not all(isinstance(each, str) for each in written):
                raise Unusable("keys: must be a list of texts")
            route, scope = _text(asked, "route"), _scope(asked)
            return {"ids": [_id(desk, route, each, scope) for each in written]}

        return await self._answer(request, answer)

    async def resolve(self, request: web.Request) -> web.Response:
        """Settle an unknown outcome."""

        async def answer(desk: KeyDesk, asked: Mapping[str, Any]) -> object:
            resolution = _resolution(asked)
            settled = await desk.resolve(_key(desk, asked), resolution)
            word = "applied" if resolution.applied else "not_applied"
            _log.warning(
                "idempotency key %s resolved as %s by %s: %s", settled["id"], word, resolution.by, resolution.why
            )
            return settled

        return await self._answer(request, answer, HTTPStatus.CONFLICT)

    async def erase(self, request: web.Request) -> web.Response:
        """Let go of the contents of one caller's answers."""

        async def answer(desk: KeyDesk, asked: Mapping[str, Any]) -> object:
            return {"erased": await desk.erase(_text(asked, "route"), _scope(asked))}

        return await self._answer(request, answer)

    async def _answer(
        self, request: web.Request, answer: Any, missing: HTTPStatus = HTTPStatus.NOT_FOUND
    ) -> web.Response:
        desk = self._state.keys
        if desk is None:
            return problem(HTTPStatus.NOT_FOUND, "this sidecar keeps no idempotency keys: it has no ingress.routes")
        try:
            asked = msgspec.json.decode(await request.read() or b"{}")
            if not isinstance(asked, dict):
                raise Unusable("must be a JSON object")
            found = await answer(desk, asked)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return problem(HTTPStatus.BAD_REQUEST, f"is no JSON: {error}")
        except (Unusable, MalformedKey) as error:
            return problem(HTTPStatus.BAD_REQUEST, str(error))
        except NoSuchKey as error:
            return problem(missing, str(error))
        except StoreUnavailable as error:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, f"the store of keys: {error}")
        return web.Response(body=msgspec.json.encode(found), content_type="application/json")


def _key(desk: KeyDesk, asked: Mapping[str, Any]) -> bytes:
    if "id" in asked:
        try:
            key = bytes.fromhex(_text(asked, "id"))
        except ValueError:
            key = b""
        if len(key) != 32:
            raise Unusable("id: must be 64 hexadecimal digits")
        return key
    return desk.key_of(_text(asked, "route"), _text(asked, "key"), _scope(asked))


def _id(desk: KeyDesk, route: str, written: str, scope: Mapping[str, Sequence[str]]) -> str | None:
    try:
        return desk.key_of(route, written, scope).hex()
    except MalformedKey:
        return None


def _resolution(asked: Mapping[str, Any]) -> KeyResolution:
    outcome = _text(asked, "outcome")
    if outcome not in ("applied", "not_applied"):
        raise Unusable("outcome: must be applied or not_applied")
    why = _text(asked, "reason")
    if len(why.strip()) < MIN_REASON:
        raise Unusable(f"reason: must have {MIN_REASON} characters or more")
    status = asked.get("status", 204)
    if type(status) is not int or not 200 <= status <= 499:
        raise Unusable("status: must be between 200 and 499")
    content_type = asked.get("content_type", "application/json")
    body = asked.get("body", "")
    if not isinstance(body, str) or not isinstance(content_type, str):
        raise Unusable("body, content_type: must be text")
    if not content_type.isascii() or not content_type.isprintable():
        raise Unusable("content_type: must be printable ASCII")
    return KeyResolution(outcome == "applied", _text(asked, "by"), why, status, content_type, body)


def _scope(asked: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
    scope = asked.get("scope", {})
    if not isinstance(scope, dict) or not all(
        isinstance(values, list) and all(isinstance(value, str) for value in values) for values in scope.values()
    ):
        raise Unusable("scope: must be lists of values by header")
    return scope


def _text(asked: Mapping[str, Any], word: str) -> str:
    value = asked.get(word)
    if not isinstance(value, str) or not value.strip():
        raise Unusable(f"{word}: is required, and must be text")
    return value
