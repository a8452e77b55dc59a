"""A plain aiohttp proxy: what a Python sidecar costs without raw protocols."""

import sys
from importlib.metadata import version
from pathlib import Path


class Aiohttp:
    name = "aiohttp"
    is_optional = False

    def version(self) -> str:
        return version("aiohttp")

    def command(self, directory: Path, port: int, upstream_port: int) -> list[str]:
        return [sys.executable, "-m", "loadtest.aiohttp_proxy", str(port), f"http://127.0.0.1:{upstream_port}"]
