"""A policy as its source hands it over: the exact bytes, before anything in them is believed."""

from msgspec import Struct

from sidecar.governance.documents.finding import InvalidDocument


class Delivery(Struct, frozen=True):
    """A policy as it came. `name` is what findings and explanations call it: a path or an address.

    `signature` has the bytes of the signature file; None when none was asked for.
    """

    name: str
    content: bytes
    signature: bytes | None = None


class Unreachable(InvalidDocument):
    """The source gave no policy at all, not even a wrong one."""
