"""The composition root: the only place where the parts are joined. Build, run, reload, drain."""

from sidecar.app.lifecycle import Sidecar, serve

__all__ = ["Sidecar", "serve"]
