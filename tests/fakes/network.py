"""Two network namespaces with a wire between them: a pod, and the machine that it calls. Needs root."""

import itertools
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

_NUMBERS = itertools.count(1)

POD, PEER = "10.77.0.1", "10.77.0.2"
POD6, PEER6 = "fd77::1", "fd77::2"


@dataclass(frozen=True, slots=True)
class Network:
    """The names of the two."""

    pod: str
    peer: str

    def inside(self, namespace: str, *command: str) -> list[str]:
        """The command that runs `command` in one of them."""
        return ["ip", "netns", "exec", namespace, *command]


@contextmanager
def network() -> Iterator[Network]:
    """Made, and taken down at the end with whatever rules are in it."""
    unique = f"{os.getpid()}-{next(_NUMBERS)}"
    made = Network(f"sc-pod-{unique}", f"sc-peer-{unique}")
    try:
        for namespace in (made.pod, made.peer):
            _run("ip", "netns", "add", namespace)
            _run("ip", "-n", namespace, "link", "set", "lo", "up")
        _run("ip", "link", "add", "wire", "netns", made.pod, "type", "veth", "peer", "name", "wire", "netns", made.peer)
        for namespace, address, address6 in ((made.pod, POD, POD6), (made.peer, PEER, PEER6)):
            _run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", "wire")
            _run("ip", "-n", namespace, "address", "add", f"{address6}/64", "dev", "wire", "nodad")
            _run("ip", "-n", namespace, "link", "set", "wire", "up")
        yield made
    finally:
        for namespace in (made.pod, made.peer):
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True, check=False)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{_joined(command)}: {done.stderr}"


def _joined(command: Sequence[str]) -> str:
    return " ".join(command)
