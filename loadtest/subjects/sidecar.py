"""The sidecar under the repository's own policy, with nothing switched off."""

import json
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import sidecar
from loadtest.child import ROOT, free_port
from loadtest.subjects.subject import MissingError, said

POLICY = ROOT / "config" / "policy.yaml"


@dataclass(frozen=True, slots=True)
class Sidecar:
    name: str = "sidecar"
    executable: Path | None = None
    """Another checkout's command, under the policy that is compiled into it; None for this checkout's own."""
    is_optional: bool = False

    def version(self) -> str:
        if self.executable is not None:
            return said([str(self.executable), "--version"]).rpartition(" ")[2]
        if find_spec("sidecar.__main__") is None or not POLICY.exists():
            raise MissingError(
                f"sidecar: {POLICY} and a runnable sidecar are needed, from a checkout of the repository"
            )
        return sidecar.__version__

    def program(self) -> list[str]:
        """The command line up to its first argument."""
        return [sys.executable, "-m", "sidecar"] if self.executable is None else [str(self.executable)]

    def command(self, directory: Path, port: int, upstream_port: int) -> list[str]:
        document = {
            "service": "loadtest",
            "admin": {"listen": f"127.0.0.1:{free_port()}"},
            **({"policy": {"file": str(POLICY)}} if self.executable is None else {}),
            "egress": {"listen": [f"127.0.0.1:{free_port()}"]},
            "destinations": {
                # A name of which the policy says nothing: for a destination that honours idempotency keys each write
                # is given one, which is work that the other proxies do not do.
                "loadtest": {"endpoints": [f"http://127.0.0.1:{upstream_port}"], "listen": f"127.0.0.1:{port}"}
            },
        }
        config = directory / "sidecar.yaml"
        config.write_text(json.dumps(document, indent=2))  # JSON is YAML, and needs no library to write
        return [*self.program(), "run", "--config", str(config)]
