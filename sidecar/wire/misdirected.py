"""Requests that go nowhere because of where they are addressed."""


class Misdirected(Exception):
    """A request whose target is refused or can not be had; its connection may be used on.

    `status` is its answer's, `reason` a metric label from a closed set, `detail` a sentence for its caller.
    """

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail


MISDIRECTIONS = ("unlisted", "loop", "address_refused", "connect_failure")
"""Every word that `Misdirected.reason` can be; the last one is that of a CONNECT."""
