"""Requests that go nowhere though nothing is wrong with any destination."""

from sidecar.engine.destination import UNLISTED


class Misdirected(Exception):
    """A request whose target is refused, or that can not be sent for a reason of our own; its connection stays usable.

    `status` is its answer's, `reason` a metric label from a closed set, `detail` a sentence for its caller.
    """

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail


MISDIRECTIONS = (UNLISTED, "loop", "address_refused", "connect_failure", "connect_governed", "out_of_files")
"""Every word that `Misdirected.reason` can be; `connect_failure` is that of a CONNECT."""
