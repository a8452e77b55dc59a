"""`sidecar run` with a parent watchdog: it drains and ends when its stdin closes, so a killed demo leaves none behind.

`python -m sidecar.demo.parent_watchdog ARGUMENTS…` is `sidecar ARGUMENTS…` otherwise. A pipe ends with its other side,
however that ends, on every system.
"""

import os
import runpy
import signal
import sys
import threading


def main() -> None:
    """Watch stdin beside the real command."""
    threading.Thread(target=_watch, name="parent-watchdog", daemon=True).start()
    sys.argv[0] = "sidecar"
    runpy.run_module("sidecar", run_name="__main__")


def _watch() -> None:
    while os.read(0, 1024):  # not by sys.stdin: its lock would be held while the process ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
