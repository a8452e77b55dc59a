"""The pictures of the README, taken from a real `sidecar demo` a moment after its storm.

`make screenshots` writes docs/images/; it needs Debian's chromium and takes half a minute.
"""

import asyncio
import json
import shutil
import sys
import tempfile
import urllib.request
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

from sidecar.demo.stage import free_ports

IMAGES = Path(__file__).parent / "images"
MOMENT = 22.0
"""Seconds of the demo: both troubles are in the picture, and what they did is still the verdict."""
SIZES = {"page": (1280, 930), "phone": (360, 760)}
LARGEST_BYTES = 200_000


async def main() -> None:
    """Run the demo, look at the right moment, and take the report at the end."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium is not installed (see .ci/packages)")
    IMAGES.mkdir(exist_ok=True)
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "incident.html"
        demo = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sidecar", "demo", "--admin-port", str(port), "--incident", str(report)),
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                await _live_page(browser, f"http://127.0.0.1:{port}/")
                if await demo.wait() != 0:
                    sys.exit("the demo failed")
                page = await browser.new_page(viewport={"width": 1000, "height": 1180})
                await page.goto(report.as_uri())
                await _take(page, "incident")
        finally:
            if demo.returncode is None:
                demo.terminate()
                await demo.wait()


async def _live_page(browser: Browser, url: str) -> None:
    looks: dict[str, Page] = {}
    for name, (width, height) in SIZES.items():
        for scheme in ("light", "dark"):
            size = {"width": width, "height": height}
            looks[f"{name}-{scheme}"] = await browser.new_page(
                viewport=size,
                color_scheme="dark" if scheme == "dark" else "light",
                reduced_motion="reduce",
            )
    while await asyncio.to_thread(_rows, url) < 1:
        await asyncio.sleep(0.1)
    for page in looks.values():
        await page.goto(url)
    while await asyncio.to_thread(_rows, url) < MOMENT:
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.3)
    for name, page in looks.items():
        await _take(page, name)


def _rows(url: str) -> int:
    """How many seconds of traffic the sidecar has seen; 0 while it is not there."""
    try:
        with urllib.request.urlopen(f"{url}?format=json&seconds=900", timeout=2) as answer:
            series = json.load(answer)["history"]["series"]
    except OSError:
        return 0
    requests = next(iter(series.values()), {}).get("requests", [])
    first = next((at for at, count in enumerate(requests) if count), len(requests))
    return len(requests) - first


async def _take(page: Page, name: str) -> None:
    file = IMAGES / f"{name}.png"
    await page.screenshot(path=file)
    size = file.stat().st_size
    sys.stdout.write(f"{file.relative_to(Path.cwd())}  {size // 1000} kB\n")
    if size > LARGEST_BYTES:
        sys.exit(f"{file} is larger than {LARGEST_BYTES} bytes")


if __name__ == "__main__":
    asyncio.run(main())
