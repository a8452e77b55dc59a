"""The page's files under a strict policy, and a stream that no viewer can make expensive."""

import asyncio
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient
from yarl import URL

from sidecar.admin import live_page
from sidecar.admin.guard import Guard
from sidecar.admin.live import Live
from sidecar.admin.live_page import FILES, MAX_VIEWERS, LivePage
from sidecar.engine.verdict import Refusal
from sidecar.governance.policy.partner_contract import ANSWERS
from sidecar.telemetry.history import Series
from tests.admin.states import SetState
from tests.admin.tokens import Told, known_token
from tests.fakes.waiting import turn, until
from tests.telemetry.test_history import Scene

Client = TestClient[web.Request, web.Application]


class Stand:
    """A page over a scene whose seconds the test turns."""

    def __init__(self, client: Client, page: LivePage, scene: Scene) -> None:
        self.client = client
        self.page = page
        self.scene = scene

    async def viewer(self) -> AsyncIterator[tuple[str, Any]]:
        response = await self.client.get("/events")
        assert response.status == 200
        async for message in messages(response):
            yield message

    async def viewers_are(self, number: int) -> None:
        def are_there() -> bool:
            self.scene.turn()
            return self.page.viewers == number

        await until(are_there)


async def messages(response: ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    kind = ""
    async for line in response.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)


@pytest.fixture
async def stand(aiohttp_client: Callable[[web.Application], Awaitable[Client]]) -> AsyncIterator[Stand]:
    scene = Scene()
    state = SetState(destinations={"payments": scene.payments}, history=scene.history)
    page = LivePage(Live(state, scene.clock))
    app = web.Application(middlewares=[Guard([], known_token(), Told(), lambda: 0.0).middleware])
    app.add_routes(page.routes())
    yield Stand(await aiohttp_client(app), page, scene)
    page.close()


@pytest.mark.parametrize("name", FILES)
async def test_each_file_is_served_with_its_type_and_a_policy_that_allows_nothing_foreign(
    stand: Stand, name: str
) -> None:
    response = await stand.client.get("/" if name == "index.html" else f"/{name}")

    policy = response.headers["Content-Security-Policy"]
    assert response.content_type == FILES[name]
    assert len(await response.read()) > 0
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_page_names_no_other_site_and_holds_no_script_of_its_own(stand: Stand) -> None:
    for name in FILES:
        text = (live_page.FOLDER / name).read_text(encoding="utf-8")
        assert "://" not in text.replace("http://www.w3.org/", "")
        assert "innerHTML" not in text
        assert "eval(" not in text
    index = (live_page.FOLDER / "index.html").read_text(encoding="utf-8")
    assert " style=" not in index
    assert " onclick=" not in index


async def test_every_runbook_that_the_page_names_is_served_beside_it(stand: Stand) -> None:
    index = (live_page.FOLDER / "index.html").read_text(encoding="utf-8")
    named = re.findall(r'href="(/runbooks/(\w+))"', index)

    assert len(named) > 15
    for address, name in named:
        response = await stand.client.get(address)
        assert (response.status, response.content_type) == (200, "text/plain")
        assert (await response.text()).startswith("# " + ("Runbooks" if name == "README" else name))


@pytest.mark.parametrize("name", ["Sidecar", "..%2Fpage%2Findex.html", "%2Fetc%2Fpasswd", "."])
async def test_nothing_else_is_served_as_a_runbook(stand: Stand, name: str) -> None:
    response = await stand.client.get(URL(f"/runbooks/{name}", encoded=True))

    assert response.status == 404


@pytest.mark.parametrize("refusal", Refusal)
async def test_the_part_about_a_refusal_is_served_as_text(stand: Stand, refusal: Refusal) -> None:
    response = await stand.client.get(f"/refusals/{refusal.value}")

    assert (response.status, response.content_type, response.charset) == (200, "text/plain", "utf-8")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert (await response.text()).startswith(f"### {refusal.value}\n")


@pytest.mark.parametrize("word", ANSWERS)
async def test_the_page_of_a_word_of_the_contract_is_served_as_text(stand: Stand, word: str) -> None:
    response = await stand.client.get(f"/refusals/{word}")

    assert (response.status, response.content_type, response.charset) == (200, "text/plain", "utf-8")
    assert (await response.text()).startswith(f"# {word}\n")


async def test_a_link_of_one_page_about_a_refusal_to_another_leads_there(stand: Stand) -> None:
    response = await stand.client.get("/refusals/outcome_unknown.md")

    assert response.status == 200


async def test_the_whole_page_of_refusals_is_served_too(stand: Stand) -> None:
    response = await stand.client.get("/refusals")

    assert (response.status, response.content_type) == (200, "text/plain")
    assert (await response.text()).startswith("# Refused")


@pytest.mark.parametrize("word", ["no_such", "..%2Fpage%2Findex.html", "Deadline", "%E2%80%A6"])
async def test_nothing_else_is_served_as_a_refusal(stand: Stand, word: str) -> None:
    response = await stand.client.get(URL(f"/refusals/{word}", encoded=True))

    assert response.status == 404


async def test_a_link_of_one_runbook_to_another_leads_there(stand: Stand) -> None:
    response = await stand.client.get("/runbooks/SidecarBreakerOpen.md")

    assert response.status == 200


async def test_the_same_as_json(stand: Stand) -> None:
    stand.scene.request(200)
    stand.scene.turn()

    document = await (await stand.client.get("/?format=json&seconds=60")).json()

    assert document["history"]["series"]["payments"]["requests"] == [1]


@pytest.mark.parametrize(
    "query", ["format=xml", "format=json&seconds=0", "format=json&seconds=901", "format=json&seconds=1e3"]
)
async def test_a_query_that_makes_no_sense_is_a_400_that_says_what_would(stand: Stand, query: str) -> None:
    response = await stand.client.get(f"/?{query}")

    assert response.status == 400
    assert "must be" in (await response.json())["detail"]


async def test_a_viewer_is_told_what_was_and_then_every_second_what_is(stand: Stand) -> None:
    for _ in range(5):
        stand.scene.request(200)
        stand.scene.turn()
    viewer = stand.viewer()
    opening = [await anext(viewer) for _ in range(3)]
    stand.scene.request(503)
    stand.scene.turn()
    second = [await asyncio.wait_for(anext(viewer), 5) for _ in range(2)]
    await viewer.aclose()

    assert [kind for kind, _ in opening] == ["hello", "rows", "now"]
    assert opening[1][1]["series"]["payments"]["requests"] == [1] * 5
    assert [kind for kind, _ in second] == ["rows", "now"]
    assert (second[0][1]["first"], second[0][1]["series"]["payments"]["failed"]) == (5, [1])
    assert second[1][1]["headline"]["words"] == "payments is failing: 1 of 6 requests"


async def test_a_viewer_that_missed_rows_is_sent_what_it_missed_and_not_each_second(stand: Stand) -> None:
    stand.scene.request(200)
    stand.scene.turn()
    viewer = stand.viewer()
    for _ in range(3):
        await anext(viewer)
    for _ in range(5):
        stand.scene.turn()  # in one go: the viewer's turn does not come in between
    rows = (await asyncio.wait_for(anext(viewer), 5))[1]
    await viewer.aclose()

    assert (rows["first"], len(rows["times"])) == (1, 5)


async def test_the_message_of_a_second_is_made_once_for_all_viewers(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.scene.request(200)
    stand.scene.turn()
    viewers = [stand.viewer() for _ in range(4)]
    for viewer in viewers:
        for _ in range(3):
            await anext(viewer)
    made = 0
    original = Live.now

    def counted(self: Live, noted: int = 0) -> Any:
        nonlocal made
        made += 1
        return original(self, noted)

    monkeypatch.setattr(Live, "now", counted)
    stand.scene.turn()
    told = [[await asyncio.wait_for(anext(viewer), 5) for _ in range(2)] for viewer in viewers]
    for viewer in viewers:
        await viewer.aclose()

    assert made == 1
    assert all(each == told[0] for each in told)


async def test_viewers_are_bounded_and_places_become_free(stand: Stand) -> None:
    responses = [await stand.client.get("/events") for _ in range(MAX_VIEWERS)]
    refused = await stand.client.get("/events")
    responses[0].close()
    await stand.viewers_are(MAX_VIEWERS - 1)
    again = await stand.client.get("/events")
    for response in (*responses, again):
        response.close()
    await stand.viewers_are(0)

    assert refused.status == 503
    assert "viewers" in (await refused.json())["detail"]
    assert again.status == 200


async def test_a_viewer_that_does_not_read_is_dropped_and_holds_no_memory_meanwhile(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_page, "STALLED_SECONDS", 0.1)
    server = stand.client.server
    reader, writer = await asyncio.open_connection(server.host, server.port, limit=1024)
    writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readexactly(12)
    for number in range(100):  # a wide state, so that few seconds fill the socket
        stand.scene.history.series[f"d{number}"] = Series(stand.scene.payments, 0)

    async with asyncio.timeout(20):
        while stand.page.viewers:
            stand.scene.turn()
            await turn()
    writer.close()

    assert stand.page.viewers == 0


async def test_closing_ends_every_stream(stand: Stand) -> None:
    viewer = stand.viewer()
    await anext(viewer)
    stand.page.close()

    rest = [kind async for kind, _ in viewer]

    assert "hello" not in rest
    await stand.viewers_are(0)


async def test_asking_for_the_head_of_the_stream_does_not_open_it(stand: Stand) -> None:
    response = await stand.client.head("/events")

    assert response.status == 405
    assert stand.page.viewers == 0


def test_the_wheel_carries_the_page_and_the_runbooks(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]

    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=root,
        check=True,
        capture_output=True,
        timeout=60,
    )

    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"sidecar/admin/page/{name}" for name in FILES} <= names
    docs = root / "docs"
    pages = [docs / "refusals.md", *(docs / "runbooks").iterdir(), *(docs / "refusals").iterdir()]
    assert {f"sidecar/admin/docs/{page.relative_to(docs).as_posix()}" for page in pages} <= names
