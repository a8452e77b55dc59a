"""The views of idempotency keys: with the token only, and each wrong request told."""

import pytest
from aiohttp import web
from aiohttp.pytest_plugin import AiohttpClient

from sidecar.admin.key_views import KeyViews
from sidecar.idempotency.desk import KeyDesk
from sidecar.idempotency.gate import KeyedRequest, KeyRun
from tests.admin.states import SetState
from tests.fakes.key_gates import BrokenStore, key_gate

FIELDS = b"Idempotency-Key: k1\r\nAuthorization: Bearer a\r\n"
NAMED = {"route": "pay", "key": "k1", "scope": {"authorization": ["Bearer a"]}}
RESOLUTION = {**NAMED, "outcome": "applied", "by": "a.lee", "reason": "the PSP has it", "status": 201}


async def client_of(aiohttp_client: AiohttpClient, *, doubtful: bool = True, desk: bool = True):  # type: ignore[no-untyped-def]
    gate = key_gate()
    if doubtful:
        granted = await gate.admit(gate.routes[0], KeyedRequest(b"POST", b"/pay", FIELDS, b""))
        assert isinstance(granted, KeyRun)
        await granted.doubt("reset")
    app = web.Application()
    app.add_routes(KeyViews(SetState(keys=KeyDesk(gate) if desk else None)).routes())
    return await aiohttp_client(app)


async def test_a_key_is_shown_by_its_text_and_by_its_id(aiohttp_client: AiohttpClient) -> None:
    client = await client_of(aiohttp_client)

    by_text = await (await client.post("/idempotency/show", json=NAMED)).json()
    by_id = await (await client.post("/idempotency/show", json={"id": by_text["id"]})).json()

    assert by_text == by_id
    assert by_text["state"] == "unknown"


async def test_an_unknown_outcome_is_resolved_and_logged(
    aiohttp_client: AiohttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    client = await client_of(aiohttp_client)
    before = await (await client.post("/idempotency/unknown")).json()

    settled = await client.post("/idempotency/resolve", json=RESOLUTION)
    again = await client.post("/idempotency/resolve", json=RESOLUTION)
    after = await (await client.post("/idempotency/unknown")).json()

    assert (settled.status, again.status) == (200, 409)
    assert (len(before["keys"]), len(after["keys"])) == (1, 0)
    assert "resolved as applied by a.lee: the PSP has it" in caplog.text


async def test_the_answers_of_a_caller_are_erased(aiohttp_client: AiohttpClient) -> None:
    client = await client_of(aiohttp_client)

    answer = await client.post("/idempotency/erase", json={"route": "pay", "scope": NAMED["scope"]})

    assert await answer.json() == {"erased": 1}


@pytest.mark.parametrize(
    ("path", "content", "detail"),
    [
        ("show", {}, "route: is required, and must be text"),
        ("show", {"id": "abc"}, "id: must be 64 hexadecimal digits"),
        ("show", {**NAMED, "scope": "x"}, "scope: must be lists of values by header"),
        ("show", {**NAMED, "key": "x" * 256}, "the key is longer than 255 characters"),
        ("resolve", {**RESOLUTION, "outcome": "maybe"}, "outcome: must be applied or not_applied"),
        ("resolve", {**RESOLUTION, "reason": "because"}, "reason: must have 10 characters or more"),
        ("resolve", {**RESOLUTION, "by": " "}, "by: is required, and must be text"),
        ("resolve", {**RESOLUTION, "status": 500}, "status: must be between 200 and 499"),
        ("resolve", {**RESOLUTION, "content_type": "a\r\nb: c"}, "content_type: must be printable ASCII"),
        ("resolve", [1], "must be a JSON object"),
    ],
)
async def test_a_wrong_request_is_told(aiohttp_client: AiohttpClient, path: str, content: object, detail: str) -> None:
    client = await client_of(aiohttp_client)

    answer = await client.post(f"/idempotency/{path}", json=content)

    assert answer.status == 400
    assert (await answer.json())["detail"] == detail


async def test_what_is_no_json_is_told(aiohttp_client: AiohttpClient) -> None:
    client = await client_of(aiohttp_client)

    assert (await client.post("/idempotency/show", data=b"\xff{")).status == 400


async def test_a_key_that_nothing_is_known_of_and_a_sidecar_without_keys_are_404(aiohttp_client: AiohttpClient) -> None:
    without = await client_of(aiohttp_client, doubtful=False)
    nothing = await client_of(aiohttp_client, desk=False)

    assert (await without.post("/idempotency/show", json=NAMED)).status == 404
    assert (await nothing.post("/idempotency/unknown")).status == 404


async def test_a_store_that_is_down_is_told(aiohttp_client: AiohttpClient) -> None:
    app = web.Application()
    app.add_routes(KeyViews(SetState(keys=KeyDesk(key_gate(store=Down())))).routes())
    client = await aiohttp_client(app)

    assert (await client.post("/idempotency/show", json=NAMED)).status == 503


class Down(BrokenStore):
    async def read(self, key: bytes):  # type: ignore[no-untyped-def]
        return await self.swap(key, None, None)  # type: ignore[arg-type]
