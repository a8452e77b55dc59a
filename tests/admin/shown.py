"""A live page in a real browser: the admin plane in a thread of its own, and Debian's Chromium looking at it."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from playwright.sync_api import Browser, Page, sync_playwright

from sidecar.admin.server import AdminServer
from sidecar.net import Address
from sidecar.proxy.listener import bind
from tests.admin.scenery import ShownState
from tests.admin.tokens import Told, known_token
from tests.fakes.tools import tool
from tests.fakes.waiting import wait_until

T = TypeVar("T")

WATCH_POLICY = """
window.violations = [];
addEventListener("securitypolicyviolation", (one) => violations.push(one.violatedDirective + " " + one.blockedURI));
"""

CONTRASTS = """
() => {
  const parsed = (text) => {
    const numbers = text.match(/[\\d.]+/g).map(Number);
    return [...numbers.slice(0, 3), numbers[3] ?? 1];
  };
  const over = (front, back) => front.slice(0, 3).map((n, at) => n * front[3] + back[at] * (1 - front[3]));
  const luminance = (colour) => {
    const linear = (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = colour.map((n) => linear(n / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const colour = parsed(getComputedStyle(at).backgroundColor);
      layers.unshift(colour);
      if (colour[3] === 1) break;
    }
    return layers.reduce((back, front) => over(front, back), [255, 255, 255]);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const element = node.parentElement;
    if (!node.textContent.trim() || element.closest(".unseen, script, [hidden]")) continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const style = getComputedStyle(element);
    let front = parsed(style.color);
    let back;
    if (element instanceof SVGTextElement) {
      front = parsed(style.fill);
      const block = getComputedStyle(element.previousElementSibling).fill;
      back = block.startsWith("url") ? parsed(style.stroke) : parsed(block);
    } else {
      back = ground(element);
    }
    const [high, low] = [luminance(over(front, back)), luminance(back.slice(0, 3))].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    found.push([node.textContent.trim().slice(0, 40), (high + 0.05) / (low + 0.05), large ? 3 : 4.5]);
  }
  return found;
}
"""


class Shown:
    """One state behind an admin server. `inside` runs something in the server's thread, as everything there must be."""

    def __init__(self, state: ShownState) -> None:
        self.state = state
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: AdminServer | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Serve, on the same port as before if there was one."""

        async def serve() -> None:
            self._server = AdminServer(self.state, self.state.clock, known_token(), Told())
            self.port = (await self._server.start(bind(Address("127.0.0.1", self.port)))).port

        asyncio.run_coroutine_threadsafe(serve(), self._loop).result(10)

    def stop(self) -> None:
        """End the server, as when the process ends."""
        if self._server is not None:
            asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(10)
            self._server = None

    def inside(self, act: Callable[[], T]) -> T:
        async def acted() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(acted(), self._loop).result(10)

    def turn(self, act: Callable[[], object] = lambda: None) -> None:
        """A second passes, in which `act` happens."""

        def second() -> None:
            act()
            self.state.clock.now += 1
            self.state.history.sample(self.state.destinations)

        self.inside(second)

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@contextmanager
def shown(state: ShownState) -> Iterator[Shown]:
    one = Shown(state)
    try:
        yield one
    finally:
        one.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, headless. Root has no sandbox to give it."""
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(tool("chromium")), args=flags)
        try:
            yield browser
        finally:
            browser.close()


class Look:
    """A page that is watched while somebody looks at it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.asked: set[str] = set()
        page.add_init_script(WATCH_POLICY)
        page.on("console", lambda message: message.type in {"error", "warning"} and self._complain(message.text))
        page.on("pageerror", lambda error: self._complain(str(error)))
        page.on("request", lambda request: self.asked.add(request.url))

    def _complain(self, text: str) -> None:
        self.complaints.append(text)

    def open(self, url: str) -> "Look":
        self.page.goto(url)
        self.wait("document.body.dataset.link === 'live'")
        return self

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)

    @property
    def violations(self) -> list[str]:
        found: list[str] = self.page.evaluate("violations")
        return found

    def faint(self) -> list[tuple[str, float]]:
        """The texts whose contrast is too low for their size (WCAG 2.1 AA)."""
        return [
            (text, round(ratio, 2)) for text, ratio, wanted in self.page.evaluate(CONTRASTS) if ratio < wanted - 0.01
        ]

    def wait(self, expression: str) -> None:
        """Until the expression is true. (Playwright's own way polls by eval, which the page's policy forbids.)"""
        wait_until(lambda: self.page.evaluate(expression), pause=lambda _: self.page.wait_for_timeout(20))
