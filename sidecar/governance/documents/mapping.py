"""The base of everything that is written as a mapping."""

from msgspec import Struct


class Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping whose keys are known."""
