"""A browser can be made to ask; it is refused by the Host it asks under, and by the Origin it sends along."""

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from sidecar.admin.guard import Guard
from sidecar.admin.token import AdminToken
from tests.admin.tokens import BEARER, WORDS, Told, known_token

Client = TestClient[web.Request, web.Application]
AiohttpClient = Callable[[web.Application], Awaitable[Client]]


def guarded(told: Told | None = None, token: AdminToken | None = None) -> web.Application:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="seen")

    async def broken(_: web.Request) -> web.Response:
        raise RuntimeError("a secret inside")

    async def teapot(_: web.Request) -> web.Response:
        raise web.HTTPRequestEntityTooLarge(1, 2)

    app = web.Application(
        middlewares=[Guard(["admin.example"], token or known_token(), told or Told(), lambda: 0.0).middleware]
    )
    app.add_routes(
        [web.get("/page", page), web.post("/change", page), web.get("/broken", broken), web.get("/large", teapot)]
    )
    return app


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:16000",
        "localhost.:16000",
        "app.localhost",
        "127.0.0.1:16000",
        "10.1.2.3:16002",
        "[::1]:16000",
        "[fd00::1]",
        "admin.example",
        "Admin.Example:80",
    ],
)
async def test_loopback_addresses_and_configured_names_are_answered(aiohttp_client: AiohttpClient, host: str) -> None:
    client = await aiohttp_client(guarded())

    response = await client.get("/page", headers={"Host": host})

    assert response.status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:16000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[::1",
        "a:b:c",
        "::1:x",
    ],
)
async def test_another_name_is_refused(aiohttp_client: AiohttpClient, host: str) -> None:
    client = await aiohttp_client(guarded())

    response = await client.get("/page", headers={"Host": host})

    assert response.status in {400, 421}
    assert "seen" not in await response.text()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:16000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
    ids=str,
)
async def test_a_change_from_a_page_is_refused_even_with_the_token(
    aiohttp_client: AiohttpClient, headers: dict[str, str]
) -> None:
    client = await aiohttp_client(guarded())

    response = await client.post("/change", headers={**headers, "Authorization": f"Bearer {WORDS}"})

    assert response.status == 403
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_where_no_token_could_be_had_no_change_is_made(aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(guarded(token=AdminToken(None)))

    response = await client.post("/change", headers={"Authorization": "Bearer None"})

    assert response.status == 401
    assert "set admin.token_file" in await response.text()


async def test_where_the_token_can_not_be_read_no_change_is_made(aiohttp_client: AiohttpClient, tmp_path: Path) -> None:
    client = await aiohttp_client(guarded(token=AdminToken(tmp_path / "gone")))

    response = await client.post("/change", headers=BEARER)

    assert response.status == 503
    assert "admin.token_file" in await response.text()


async def test_a_change_is_logged_whether_it_is_made_or_refused(aiohttp_client: AiohttpClient) -> None:
    told = Told()
    client = await aiohttp_client(guarded(told))

    await client.post("/change")
    await client.post("/change", headers=BEARER)
    await client.get("/page")

    assert told.lines == [
        {
            "level": level,
            "event": "admin_change",
            "method": "POST",
            "path": "/change",
            "peer": "127.0.0.1",
            "status": status,
            "refused": refused,
        }
        for level, status, refused in ((logging.WARNING, 401, True), (logging.INFO, 200, False))
    ]


async def test_refused_changes_do_not_fill_the_log(aiohttp_client: AiohttpClient) -> None:
    told = Told()
    client = await aiohttp_client(guarded(told))

    for _ in range(30):
        await client.post("/change")

    assert len(told.lines) == 20


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {WORDS}", WORDS, "Bearer é"]
)
async def test_a_change_without_the_token_is_refused(aiohttp_client: AiohttpClient, authorization: str | None) -> None:
    client = await aiohttp_client(guarded())
    headers = {} if authorization is None else {"Authorization": authorization}

    response = await client.post("/change", headers=headers)

    assert response.status == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert WORDS not in await response.text()


async def test_a_change_with_the_token_is_made(aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(guarded())

    response = await client.post("/change", headers={"Authorization": f"bearer {WORDS}"})

    assert response.status == 200


async def test_reading_needs_no_token(aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(guarded())

    response = await client.get("/page")

    assert response.status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/page", 200),
        ("GET", "/nothing", 404),
        ("DELETE", "/page", 405),
        ("GET", "/broken", 500),
        ("GET", "/large", 413),
    ],
)
@pytest.mark.filterwarnings("default")
async def test_every_answer_has_the_security_headers(
    aiohttp_client: AiohttpClient, method: str, path: str, status: int
) -> None:
    client = await aiohttp_client(guarded())

    response = await client.request(method, path)

    assert response.status == status
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert response.headers["Cache-Control"] == "no-store"
    assert status == 200 or response.content_type == "application/problem+json"
    assert status == 200 or (await response.json(content_type=None))["status"] == status


async def test_a_view_that_fails_shows_nothing_of_its_insides_but_logs_them(
    aiohttp_client: AiohttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    client = await aiohttp_client(guarded())

    with caplog.at_level(logging.ERROR, logger="sidecar.admin"):
        response = await client.get("/broken")

    assert "secret" not in await response.text()
    assert "a secret inside" in caplog.text


async def test_a_method_that_is_not_known_names_those_that_are(aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(guarded())

    response = await client.request("PUT", "/page")

    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD"
