"""The sidecar under the repository's own policy, with nothing switched off."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import sidecar
from loadtest.child import ROOT, free_port
from loadtest.subjects.subject import MissingError

POLICY = ROOT / "config" / "policy.yaml"


class Sidecar:
    name = "sidecar"
    is_optional = False

    def version(self) -> str:
        if find_spec("sidecar.__main__") is None or not POLICY.exists():
            raise MissingError(
                f"sidecar: {POLICY} and a runnable sidecar are needed, from a checkout of the repository"
            )
        return sidecar.__version__

    def command(self, directory: Path, port: int, upstream_port: int) -> list[str]:
        document = {
            "service": "loadtest",
            "admin": {"listen": f"127.0.0.1:{free_port()}"},
            "policy": {"file": str(POLICY)},
            "egress": {"listen": [f"127.0.0.1:{free_port()}"]},
            "destinations": {
                "payments": {"endpoints": [f"http://127.0.0.1:{upstream_port}"], "listen": f"127.0.0.1:{port}"}
            },
        }
        config = directory / "sidecar.yaml"
        config.write_text(json.dumps(document, indent=2))  # JSON is YAML, and needs no library to write
        return [sys.executable, "-m", "sidecar", "run", "--config", str(config)]
